"""What every provider must do that speaks Anthropic's messages itself: bytes pass through."""

from __future__ import annotations

import pytest

from agentcore.llm_gateway.errors import UpstreamRejected
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from tests.contracts.llm_providers.dialogue import ASKED, begun, plain, read
from tests.fakes.anthropic_speech import events_of
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import Upstream, answers, fails


@pytest.fixture(params=["anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_all_but_the_model_passes_through(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    body = b'{ "type": "message", "content": [ ], "vendor": {"x": 1.50} ,"usage":null}'
    upstream.behaviour = answers(body)
    asked = {**ASKED["messages"], "unheard_of": [1, None]}
    reply = await plain(provider, "messages", body=asked)
    assert (reply.body, reply.usage) == (body, None)
    assert upstream.bodies == [{**asked, "model": "Qwen/Qwen3-8B"}]


async def test_a_stream_passes_through(provider: BaseLLMProvider) -> None:
    reply = await begun(provider, "messages")
    assert await read(reply) == b"".join(events_of("Hello there!"))
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_rejection_passes_through(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = fails(413, speech.fault("theirs", "too long"))
    with pytest.raises(UpstreamRejected) as caught:
        await plain(provider, "messages")
    assert caught.value.status == 413
    assert b'"type": "error"' in caught.value.body
