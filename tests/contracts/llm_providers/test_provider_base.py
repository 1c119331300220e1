"""What every provider must do, on a real connection, for each kind of provider."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.kit.jsonvalue import objects_of
from agentcore.llm_gateway import endpoint
from agentcore.llm_gateway.chat_wire import usage_of
from agentcore.llm_gateway.errors import (
    PrivacyViolationError,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import Dialect, LLMRequest, ProviderConfig, TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.replies import chunks_of, text_of
from tests.contracts.llm_providers.conftest import FURTHER, SPEECHES
from tests.contracts.llm_providers.dialogue import (
    BAD_ENDS,
    FALSE_STARTS,
    HELLO,
    LAST,
    REFUSALS,
    SERVED,
    Answer,
    Parts,
    begun,
    cleared,
    is_free,
    read,
    said,
)
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import (
    PAUSE,
    Behaviour,
    Upstream,
    answers,
    fails,
    stalls,
    streams,
    truncated,
)
from tests.fakes.waiting import eventually

# Who speaks what itself; all else is translated from chat completions.
SPOKEN: list[tuple[str, Dialect]] = [
    *((kind, "chat") for kind in ("parallax", "compatible", "openai")),
    *FURTHER,
]
AS_SPOKEN = pytest.mark.parametrize(
    ("kind", "dialect"), [*((kind, "chat") for kind in SPEECHES), *FURTHER]
)


async def test_completes(provider: BaseLLMProvider, upstream: Upstream, speech: Speech) -> None:
    response = await provider.complete(HELLO)
    assert response.content == "Hello there!"
    assert response.provider == provider.destination.name
    assert response.usage == TokenUsage(12, 3, 15)
    assert response.finish_reason == "stop"
    assert response.latency_ms > 0
    assert speech.asked(upstream) == "Qwen/Qwen3-8B"
    header, credential = speech.credential
    assert upstream.headers[0][header] == credential


async def test_streams_text(provider: BaseLLMProvider) -> None:
    assert [part async for part in provider.stream(HELLO)] == ["Hello ", "there!"]


async def test_usage_is_known_and_told_only_to_who_asked(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    reply = await begun(provider)
    chunks = list(chunks_of(await read(reply)))
    assert reply.usage == TokenUsage(12, 3, 15)
    assert not any("usage" in chunk for chunk in chunks)
    body = {**HELLO.call(stream=True).body, "stream_options": {"include_usage": True}}
    asked = await begun(provider, body=body, wants_usage=True)
    *_, last = chunks_of(await read(asked))
    assert last["choices"] == []
    assert usage_of(last["usage"]) == TokenUsage(12, 3, 15)


async def test_a_stream_reads_as_chat_completions(provider: BaseLLMProvider) -> None:
    text = await read(await begun(provider))
    assert text.endswith(b"data: [DONE]\n\n")
    chunks = list(chunks_of(text))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    finishes = [
        choice["finish_reason"] for chunk in chunks for choice in objects_of(chunk["choices"])
    ]
    assert finishes[-1] == "stop"
    assert set(finishes[:-1]) == {None}


@AS_SPOKEN
@pytest.mark.parametrize(("answer", "expected"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_failures_before_the_answer_are_told_by_kind(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    dialect: Dialect,
    answer: Answer,
    expected: type[UpstreamError],
    stream: bool,
) -> None:
    upstream.behaviour = answer(speech)
    with pytest.raises(expected) as caught:
        await provider.send(cleared(provider, dialect, stream=stream))
    assert "a-provider-key" not in str(caught.value)
    is_free(provider)


async def test_an_answer_without_content_is_none(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = answers(b"{}")
    with pytest.raises(UpstreamMalformed):
        await provider.complete(HELLO)


async def test_a_truncated_answer_is_none(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = truncated(speech.whole("Hello there!"))
    with pytest.raises(UpstreamTruncated):
        await provider.complete(HELLO)


async def test_rate_limit_says_when_to_return(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = fails(429, retry_after="2")
    with pytest.raises(UpstreamRateLimited) as caught:
        await provider.complete(HELLO)
    assert caught.value.retry_after == 2.0


async def test_a_rate_limit_without_a_time_is_one_too(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = fails(429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")
    with pytest.raises(UpstreamRateLimited) as caught:
        await provider.complete(HELLO)
    assert caught.value.retry_after is None


async def test_a_rejection_keeps_the_providers_words(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = fails(400, speech.fault("theirs", "n must be 1"))
    with pytest.raises(UpstreamRejected, match="n must be 1") as caught:
        await provider.complete(HELLO)
    assert caught.value.status == 400
    told = orjson.loads(caught.value.body)["error"]
    assert isinstance(told["type"], str)
    assert "n must be 1" in told["message"]


@AS_SPOKEN
@pytest.mark.parametrize(("parts", "expected"), FALSE_STARTS.values(), ids=FALSE_STARTS)
async def test_a_stream_that_fails_before_its_content_has_not_begun(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    dialect: Dialect,
    parts: Parts,
    expected: type[UpstreamError],
) -> None:
    upstream.behaviour = streams(*parts(speech))
    with pytest.raises(expected):
        await begun(provider, dialect)
    is_free(provider)


@AS_SPOKEN
async def test_stalled_after_its_opening_it_has_not_begun(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech, dialect: Dialect
) -> None:
    upstream.behaviour = streams(speech.opening, then=stalls())
    with pytest.raises(UpstreamTimeout):
        await begun(provider, dialect)
    is_free(provider)


@pytest.mark.parametrize("dialect", LAST)
@pytest.mark.parametrize(("tail", "then", "expected"), BAD_ENDS.values(), ids=BAD_ENDS)
async def test_a_stream_that_fails_later_is_never_passed_off_as_whole(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    kind: str,
    dialect: Dialect,
    tail: Parts,
    then: Behaviour | None,
    expected: type[UpstreamError],
) -> None:
    upstream.behaviour = streams(speech.opening, speech.part("a"), PAUSE, *tail(speech), then=then)
    reply = await begun(provider, dialect)
    forwarded: list[bytes] = []
    with pytest.raises(expected):
        await read(reply, into=forwarded)
    told = b"".join(forwarded)
    assert said(dialect, told) == "a"
    assert LAST[dialect] not in told
    if (kind, dialect) in SPOKEN:
        assert told.startswith(speech.opening + speech.part("a"))
    is_free(provider)


async def test_a_cancelled_call_cuts_the_connection(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = stalls()
    asked = asyncio.ensure_future(provider.complete(HELLO))
    await eventually(lambda: upstream.in_flight == 1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: upstream.cut_off == 1)
    is_free(provider)


async def test_a_closed_stream_cuts_the_connection(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = streams(speech.opening, speech.part("a"), then=stalls())
    reply = await begun(provider)
    assert upstream.in_flight == 1
    reply.close()
    reply.close()
    await eventually(lambda: upstream.cut_off == 1)


async def test_a_deadline_ends_the_call(provider: BaseLLMProvider, upstream: Upstream) -> None:
    with pytest.raises(DeadlineExceeded):
        await provider.send(cleared(provider, deadline=-1.0))
    assert upstream.bodies == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_short_deadline_is_not_the_providers_fault(
    provider: BaseLLMProvider, upstream: Upstream, stream: bool
) -> None:
    upstream.behaviour = stalls()
    soon = SystemClock().monotonic() + 0.03
    with pytest.raises(DeadlineExceeded):
        await provider.send(cleared(provider, deadline=soon, stream=stream))


async def test_a_deadline_ends_a_stream(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = streams(speech.opening, speech.part("a"), then=stalls())
    with pytest.raises(DeadlineExceeded):
        await read(await begun(provider, deadline=SystemClock().monotonic() + 0.06))


async def test_a_connection_that_lingers_after_the_end_is_not_waited_for(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "AFTERMATH_SECONDS", 0.02)
    whole = (speech.opening, speech.part("a"), speech.ending, speech.last)
    upstream.behaviour = streams(*whole, then=stalls())
    forwarded = await read(await begun(provider))
    assert list(text_of(forwarded)) == ["a"]
    assert forwarded.endswith(b"data: [DONE]\n\n")


async def test_its_concurrency_limit_refuses_at_once(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviour = streams(speech.opening, speech.part("a"), then=stalls())
    held = [await begun(provider) for _ in range(4)]
    assert not provider.condition().has_capacity
    with pytest.raises(UpstreamRateLimited, match="carries its 4 calls"):
        await provider.complete(HELLO)
    assert len(upstream.bodies) == 4
    for reply in held:
        reply.close()
    assert provider.condition().has_capacity


async def test_a_private_call_is_taken_only_where_private(
    config: ProviderConfig, provider: BaseLLMProvider, upstream: Upstream
) -> None:
    private = LLMRequest(model=SERVED, messages=HELLO.messages, requires_privacy=True)
    assert (await provider.complete(private)).content == "Hello there!"
    provider.destination = type(provider.destination)(config.name, private=False)
    with pytest.raises(PrivacyViolationError):
        await provider.complete(private)
    with pytest.raises(PrivacyViolationError):
        await anext(aiter(provider.stream(private)))
    assert len(upstream.bodies) == 1


async def test_a_call_cleared_for_somebody_else_is_not_sent(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    proof = cleared(provider)
    provider.destination = type(provider.destination)("another")
    if hasattr(provider, "cluster_manager"):
        provider.cluster_manager.destination = provider.destination
    with pytest.raises(PrivacyViolationError):
        await provider.send(proof)
    assert upstream.bodies == []


async def test_names_its_models(provider: BaseLLMProvider) -> None:
    assert await provider.get_available_models() == [SERVED]
    assert provider.served_models() == (SERVED,)
    assert provider.upstream_model(SERVED) == "Qwen/Qwen3-8B"
    assert provider.upstream_model("gpt-9") is None


async def test_it_takes_what_it_says_and_chat_completions_above_all(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    assert "chat" in provider.dialects
    upstream.behaviour = fails(500)
    for dialect in provider.dialects:
        with pytest.raises(UpstreamUnavailable):
            await provider.send(cleared(provider, dialect))


async def test_a_connection_serves_again_after_each_end(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    upstream.behaviours = [speech.says("one"), fails(500), speech.says("two")]
    assert (await provider.complete(HELLO)).content == "one"
    with pytest.raises(AgentCoreError):
        await provider.complete(HELLO)
    assert (await provider.complete(HELLO)).content == "two"
