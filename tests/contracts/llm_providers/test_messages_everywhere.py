"""What callers of Anthropic's messages hear of every provider, whatever it speaks itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.errors import UpstreamRejected
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.replies import chunks_of
from tests.contracts.llm_providers.dialogue import begun, plain, read, said
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import Upstream, fails


async def test_an_answer(provider: BaseLLMProvider) -> None:
    reply = await plain(provider, "messages")
    told: dict[str, Any] = orjson.loads(reply.body)
    assert told["content"] == [{"type": "text", "text": "Hello there!"}]
    assert (told["stop_reason"], told["usage"]["input_tokens"]) == ("end_turn", 12)
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_stream(provider: BaseLLMProvider) -> None:
    reply = await begun(provider, "messages")
    told = await read(reply)
    kinds = [event["type"] for event in chunks_of(told)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert said("messages", told) == "Hello there!"
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_rejection(provider: BaseLLMProvider, upstream: Upstream, speech: Speech) -> None:
    upstream.behaviour = fails(400, speech.fault("theirs", "no such thing"))
    with pytest.raises(UpstreamRejected) as caught:
        await begun(provider, "messages")
    told = orjson.loads(caught.value.body)
    assert told["type"] == "error"
    assert "no such thing" in told["error"]["message"]
