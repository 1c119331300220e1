"""Responses of every kind of provider, whether it has them itself or is asked in another way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import Dialect, TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.replies import chunks_of
from tests.contracts.llm_providers.dialogue import ASKED, begun, is_free, plain, read, said
from tests.fakes.llm_upstream import Upstream


@pytest.fixture
def dialect() -> Dialect:
    return "responses"


async def test_a_plain_response(provider: BaseLLMProvider) -> None:
    reply = await plain(provider, "responses")
    document: Any = orjson.loads(reply.body)
    assert (document["object"], document["status"]) == ("response", "completed")
    assert document["output"][-1]["content"][0]["text"] == "Hello there!"
    assert document["usage"]["total_tokens"] == 15
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_stream_to_its_last_event(provider: BaseLLMProvider) -> None:
    reply = await begun(provider, "responses")
    told = await read(reply)
    kinds = [event["type"] for event in chunks_of(told)]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert said("responses", told).strip() == "Hello there!"
    assert reply.usage == TokenUsage(12, 3, 15)
    is_free(provider)


async def test_what_only_openai_has_others_refuse_unasked(
    kind: str, provider: BaseLLMProvider, upstream: Upstream
) -> None:
    asked = {**ASKED["responses"], "tools": [{"type": "web_search"}]}
    if kind == "openai":
        await plain(provider, "responses", body=asked)
        return
    with pytest.raises(InvalidChatRequest, match=f"web_search.*a-{kind} is asked by chat") as told:
        await plain(provider, "responses", body=asked)
    assert told.value.context == {"param": "tools[0].type", "provider": f"a-{kind}"}
    assert upstream.bodies == []
