"""What every provider must do, on a real connection, for each kind of provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.llm_gateway import endpoint
from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    PrivacyViolationError,
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import LLMRequest, ProviderConfig, TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.wire import PlainReply
from tests.contracts.llm_providers.conftest import SERVED
from tests.fakes.llm_upstream import (
    PAUSE,
    Behaviour,
    Upstream,
    answers,
    delta,
    drops,
    event,
    fails,
    says,
    stalls,
    streams,
    truncated,
    usage_event,
)

HELLO = LLMRequest(model=SERVED, messages=[{"role": "user", "content": "Hello"}])
NOT_READY = b'{"error": {"message": "no", "code": "server_not_ready"}}'
BUSY = b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}'

REFUSALS: dict[str, tuple[Behaviour, type[UpstreamError]]] = {
    "500": (fails(500), UpstreamUnavailable),
    "503 as a page": (fails(503, "<html>down</html>"), UpstreamUnavailable),
    "429": (fails(429), UpstreamRateLimited),
    "529": (fails(529), UpstreamRateLimited),
    "401": (fails(401), UpstreamCredentialRefused),
    "403": (fails(403), UpstreamCredentialRefused),
    "404": (fails(404), UpstreamError),
    "400": (fails(400), UpstreamRejected),
    "422": (fails(422), UpstreamRejected),
    "redirect": (fails(302, location="http://elsewhere.invalid/"), UpstreamUnavailable),
    "dropped": (drops(), UpstreamUnavailable),
    "stalled": (stalls(), UpstreamTimeout),
    "a page": (answers(b"<html>hi</html>", "text/html"), UpstreamMalformed),
    "a list": (answers(b"[1]"), UpstreamMalformed),
    "an error behind 200": (answers(NOT_READY), UpstreamUnavailable),
    "a rate limit behind 200": (answers(BUSY), UpstreamRateLimited),
}
FALSE_STARTS: dict[str, tuple[list[bytes], type[UpstreamError]]] = {
    "bare error": ([NOT_READY], UpstreamUnavailable),
    "bare rate limit": ([BUSY], UpstreamRateLimited),
    "error": ([delta(role=True), event({"error": {"message": "boom"}})], UpstreamUnavailable),
    "bad event": ([delta(role=True), event("{broken")], UpstreamMalformed),
    "done at once": ([event("[DONE]")], UpstreamTruncated),
    "done without content": ([delta(role=True), event("[DONE]")], UpstreamTruncated),
    "nothing": ([], UpstreamTruncated),
    "a comment": ([b": keepalive\n\n"], UpstreamTruncated),
    "an event without data": ([b"event: x\n\n"], UpstreamTruncated),
}
BOOM = event({"error": {"message": "boom"}})
BAD_ENDS: dict[str, tuple[list[bytes], Behaviour | None, type[UpstreamError]]] = {
    "error": ([BOOM, event("[DONE]")], None, UpstreamUnavailable),
    "bad event": ([event("{broken"), delta("b"), event("[DONE]")], None, UpstreamMalformed),
    "done without an end": ([event("[DONE]")], None, UpstreamTruncated),
    "no end": ([], None, UpstreamTruncated),
    "half an event": ([b"data: {"], None, UpstreamMalformed),
    "dropped": ([], drops(), UpstreamTruncated),
    "stalled": ([], stalls(), UpstreamTimeout),
}


def cleared(provider: BaseLLMProvider, **changes: Any) -> Cleared:
    stream = bool(changes.pop("stream", False))
    return Cleared(HELLO.call(stream=stream)._replace(**changes), provider.destination)


async def read(reply: StreamReply, into: list[bytes] | None = None) -> bytes:
    parts: list[bytes] = [] if into is None else into
    try:
        while part := await reply.next():
            parts.append(part)
    finally:
        reply.close()
    return b"".join(parts)


async def begun(provider: BaseLLMProvider, **changes: Any) -> StreamReply:
    reply = await provider.send(cleared(provider, stream=True, **changes))
    assert isinstance(reply, StreamReply)
    return reply


async def test_completes(provider: BaseLLMProvider, upstream: Upstream) -> None:
    response = await provider.complete(HELLO)
    assert response.content == "Hello there!"
    assert response.provider == provider.destination.name
    assert response.usage == TokenUsage(12, 3, 15)
    assert response.finish_reason == "stop"
    assert response.latency_ms > 0
    assert upstream.bodies[0]["model"] == "Qwen/Qwen3-8B"
    assert upstream.headers[0]["Authorization"] == "Bearer a-provider-key"


async def test_streams_text(provider: BaseLLMProvider) -> None:
    assert [part async for part in provider.stream(HELLO)] == ["Hello ", "there!"]


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
    assert upstream.bodies == [{**body, "model": "Qwen/Qwen3-8B"}]


async def test_a_plain_answer_is_the_providers_bytes(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    body = b'{ "choices": [ ], "vendor": {"x": 1.50} ,"usage":null}'
    upstream.behaviour = answers(body)
    reply = await provider.send(cleared(provider))
    assert isinstance(reply, PlainReply)
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


@pytest.mark.parametrize(("behaviour", "expected"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_failures_before_the_answer_are_told_by_kind(
    provider: BaseLLMProvider,
    upstream: Upstream,
    behaviour: Behaviour,
    expected: type[UpstreamError],
    stream: bool,
) -> None:
    upstream.behaviour = behaviour
    with pytest.raises(expected) as caught:
        await provider.send(cleared(provider, stream=stream))
    assert "a-provider-key" not in str(caught.value)
    is_free(provider)


async def test_an_answer_without_choices_is_none(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = answers(b"{}")
    with pytest.raises(UpstreamMalformed):
        await provider.complete(HELLO)


async def test_a_truncated_answer_is_none(provider: BaseLLMProvider, upstream: Upstream) -> None:
    upstream.behaviour = truncated("Hello there!")
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
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    body = {"error": {"message": "n must be 1", "type": "invalid_request_error", "code": "n"}}
    upstream.behaviour = fails(400, body)
    with pytest.raises(UpstreamRejected, match="n must be 1") as caught:
        await provider.complete(HELLO)
    assert caught.value.status == 400
    assert b"n must be 1" in caught.value.body


@pytest.mark.parametrize(("parts", "expected"), FALSE_STARTS.values(), ids=FALSE_STARTS)
async def test_a_stream_that_fails_before_its_content_has_not_begun(
    provider: BaseLLMProvider,
    upstream: Upstream,
    parts: list[bytes],
    expected: type[UpstreamError],
) -> None:
    upstream.behaviour = streams(*parts)
    with pytest.raises(expected):
        await begun(provider)
    is_free(provider)


async def test_a_role_alone_is_no_content(provider: BaseLLMProvider, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta(role=True), then=stalls())
    with pytest.raises(UpstreamTimeout):
        await begun(provider)


@pytest.mark.parametrize(("tail", "then", "expected"), BAD_ENDS.values(), ids=BAD_ENDS)
async def test_a_stream_that_fails_later_is_never_passed_off_as_whole(
    provider: BaseLLMProvider,
    upstream: Upstream,
    tail: list[bytes],
    then: Behaviour | None,
    expected: type[UpstreamError],
) -> None:
    upstream.behaviour = streams(delta(role=True), delta("a"), PAUSE, *tail, then=then)
    reply = await begun(provider)
    forwarded: list[bytes] = []
    with pytest.raises(expected):
        await read(reply, into=forwarded)
    assert delta("a") in b"".join(forwarded)
    assert b"[DONE]" not in b"".join(forwarded)
    is_free(provider)


async def test_a_whole_stream_without_done_gets_one(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = streams(delta("a"), delta(finish="stop"))
    assert (await read(await begun(provider))).endswith(b"data: [DONE]\n\n")


async def test_a_cancelled_call_cuts_the_connection(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = stalls()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await provider.complete(HELLO)
    await reaches(upstream, cut_off=1)
    is_free(provider)


async def test_a_closed_stream_cuts_the_connection(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    reply = await begun(provider)
    assert upstream.in_flight == 1
    reply.close()
    reply.close()
    await reaches(upstream, cut_off=1)


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


async def test_a_deadline_ends_a_stream(provider: BaseLLMProvider, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    reply = await begun(provider, deadline=SystemClock().monotonic() + 0.06)
    with pytest.raises(DeadlineExceeded):
        await read(reply)


async def test_a_connection_that_lingers_after_the_end_is_not_waited_for(
    provider: BaseLLMProvider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "AFTERMATH_SECONDS", 0.02)
    whole = [delta("a"), delta(finish="stop"), event("[DONE]")]
    upstream.behaviour = streams(*whole, then=stalls())
    assert await read(await begun(provider)) == b"".join(whole)


async def test_its_concurrency_limit_refuses_at_once(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
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


async def test_a_connection_serves_again_after_each_end(
    provider: BaseLLMProvider, upstream: Upstream
) -> None:
    upstream.behaviours = [says("one"), fails(500), says("two")]
    assert (await provider.complete(HELLO)).content == "one"
    with pytest.raises(AgentCoreError):
        await provider.complete(HELLO)
    assert (await provider.complete(HELLO)).content == "two"


def is_free(provider: BaseLLMProvider) -> None:
    assert provider.condition().load == 0


async def reaches(upstream: Upstream, *, cut_off: int) -> None:
    async with asyncio.timeout(1):
        while upstream.cut_off < cut_off:
            await asyncio.sleep(0.005)
