"""What every provider must do that speaks Anthropic's messages itself: bytes pass through."""

from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import UpstreamError, UpstreamRejected
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.wire import PlainReply
from tests.contracts.llm_providers.conftest import SERVED
from tests.contracts.llm_providers.test_provider_base import (
    BAD_ENDS,
    FALSE_STARTS,
    REFUSALS,
    Answer,
    Parts,
    cleared,
    is_free,
    read,
)
from tests.fakes.anthropic_speech import events_of
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import PAUSE, Behaviour, Upstream, answers, fails, streams

ASKED: dict[str, Any] = {
    "model": SERVED,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
    "unheard_of": [1, None],
}


@pytest.fixture(params=["anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def plain(provider: BaseLLMProvider) -> PlainReply:
    reply = await provider.send(cleared(provider, dialect="messages", body=ASKED))
    assert isinstance(reply, PlainReply)
    return reply


async def begun(provider: BaseLLMProvider) -> StreamReply:
    body = {**ASKED, "stream": True}
    reply = await provider.send(cleared(provider, dialect="messages", body=body, stream=True))
    assert isinstance(reply, StreamReply)
    return reply


async def test_all_but_the_model_passes_through(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    body = b'{ "type": "message", "content": [ ], "vendor": {"x": 1.50} ,"usage":null}'
    upstream.behaviour = answers(body)
    reply = await plain(provider)
    assert (reply.body, reply.usage) == (body, None)
    assert upstream.bodies == [{**ASKED, "model": "Qwen/Qwen3-8B"}]


async def test_a_stream_passes_through(provider: BaseLLMProvider) -> None:
    reply = await begun(provider)
    assert await read(reply) == b"".join(events_of("Hello there!"))
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_rejection_passes_through(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = fails(413, speech.fault("theirs", "too long"))
    with pytest.raises(UpstreamRejected) as caught:
        await plain(provider)
    assert caught.value.status == 413
    assert b'"type": "error"' in caught.value.body


@pytest.mark.parametrize(("answer", "expected"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("ask", [plain, begun], ids=["plain", "stream"])
async def test_failures_before_the_answer_are_told_by_kind(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    answer: Answer,
    expected: type[UpstreamError],
    ask: Any,
) -> None:
    upstream.behaviour = answer(speech)
    with pytest.raises(expected):
        await ask(provider)
    is_free(provider)


@pytest.mark.parametrize(("parts", "expected"), FALSE_STARTS.values(), ids=FALSE_STARTS)
async def test_a_stream_that_fails_before_its_content_has_not_begun(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    parts: Parts,
    expected: type[UpstreamError],
) -> None:
    upstream.behaviour = streams(*parts(speech))
    with pytest.raises(expected):
        await begun(provider)
    is_free(provider)


@pytest.mark.parametrize(("tail", "then", "expected"), BAD_ENDS.values(), ids=BAD_ENDS)
async def test_a_stream_that_fails_later_is_never_passed_off_as_whole(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    tail: Parts,
    then: Behaviour | None,
    expected: type[UpstreamError],
) -> None:
    parts = (speech.opening, speech.part("a"), PAUSE, *tail(speech))
    upstream.behaviour = streams(*parts, then=then)
    reply = await begun(provider)
    forwarded: list[bytes] = []
    with pytest.raises(expected):
        await read(reply, into=forwarded)
    assert b"".join(forwarded) == speech.opening + speech.part("a")
    is_free(provider)
