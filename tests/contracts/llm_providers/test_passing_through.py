"""What every provider must do that speaks chat completions itself: bytes pass through."""

from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from tests.contracts.llm_providers.dialogue import HELLO, begun, cleared, plain, read
from tests.fakes.llm_upstream import Upstream, answers, delta, streams, usage_event


@pytest.fixture(params=["parallax", "compatible", "openai"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_it_does_not_know_passes_through(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    extras: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "top_k": 40,
        "chat_template_kwargs": {"enable_thinking": False},
        "seed": 7,
    }
    body = {**HELLO.call().body, **extras}
    await provider.send(cleared(provider, body=body))
    [sent] = upstream.bodies
    added = {name: sent.pop(name) for name in ("stream", "stream_options") if name in sent}
    assert sent == {**body, "model": "Qwen/Qwen3-8B"}
    # A cluster is always asked for a stream.
    assert added in ({}, {"stream": True, "stream_options": {"include_usage": True}})


async def test_a_plain_answer_is_the_providers_bytes(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    body = b'{ "choices": [ ], "vendor": {"x": 1.50} ,"usage":null}'
    upstream.behaviour = answers(body)
    reply = await plain(provider)
    assert reply.body == body
    assert reply.usage is None


async def test_usage_is_asked_for_in_streams_and_kept_from_who_did_not(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    reply = await begun(provider)
    text = await read(reply)
    assert reply.usage == TokenUsage(12, 3, 15)
    assert b"usage" not in text
    assert text.endswith(b"data: [DONE]\n\n")
    assert upstream.bodies[0]["stream_options"] == {"include_usage": True}


async def test_usage_is_passed_on_to_who_asked(provider: BaseLLMProvider) -> None:
    body = {**HELLO.call(stream=True).body, "stream_options": {"include_usage": True}}
    reply = await begun(provider, body=body, wants_usage=True)
    assert usage_event() in await read(reply)


async def test_a_whole_stream_without_done_gets_one(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = streams(delta("a"), delta(finish="stop"))
    assert (await read(await begun(provider))).endswith(b"data: [DONE]\n\n")
