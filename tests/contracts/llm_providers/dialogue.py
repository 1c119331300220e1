"""Calls in each dialect, and what may go wrong with them: what the suites of providers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, Dialect, LLMRequest
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.replies import chunks_of, text_of
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_speech import Fault, Speech
from tests.fakes.llm_upstream import Behaviour, answers, drops, fails, stalls

SERVED = "qwen3-8b"
HELLO = LLMRequest(model=SERVED, messages=[{"role": "user", "content": "Hello"}])
ASKED: dict[Dialect, dict[str, Any]] = {
    "chat": {"model": SERVED, "messages": [{"role": "user", "content": "Hello"}]},
    "responses": {"model": SERVED, "input": "Hello", "instructions": "Be kind"},
    "embeddings": {"model": SERVED, "input": "Hello"},
    "messages": {
        "model": SERVED,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
    },
}
# What only a whole stream says.
LAST: dict[Dialect, bytes] = {
    "chat": b"[DONE]",
    "responses": b"response.completed",
    "messages": b"message_stop",
}

Answer = Callable[[Speech], Behaviour]
Parts = Callable[[Speech], list[bytes]]


def documents(fault: Fault) -> Answer:
    return lambda speech: answers(bare(speech, fault))


REFUSALS: dict[str, tuple[Answer, type[UpstreamError]]] = {
    "500": (lambda _: fails(500), UpstreamUnavailable),
    "503 as a page": (lambda _: fails(503, "<html>down</html>"), UpstreamUnavailable),
    "429": (lambda _: fails(429), UpstreamRateLimited),
    "529": (lambda _: fails(529), UpstreamRateLimited),
    "401": (lambda _: fails(401), UpstreamCredentialRefused),
    "403": (lambda _: fails(403), UpstreamCredentialRefused),
    "404": (lambda _: fails(404), UpstreamError),
    "405": (lambda _: fails(405), UpstreamError),
    "400": (lambda _: fails(400), UpstreamRejected),
    "422": (lambda _: fails(422), UpstreamRejected),
    "redirect": (lambda _: fails(302, location="http://elsewhere.invalid/"), UpstreamUnavailable),
    "dropped": (lambda _: drops(), UpstreamUnavailable),
    "stalled": (lambda _: stalls(), UpstreamTimeout),
    "a page": (lambda _: answers(b"<html>hi</html>", "text/html"), UpstreamMalformed),
    "a list": (lambda _: answers(b"[1]"), UpstreamMalformed),
    "an error behind 200": (documents("down"), UpstreamUnavailable),
    "a rate limit behind 200": (documents("busy"), UpstreamRateLimited),
    "a rejection behind 200": (documents("theirs"), UpstreamRejected),
}
FALSE_STARTS: dict[str, tuple[Parts, type[UpstreamError]]] = {
    "bare error": (lambda told: [bare(told, "down")], UpstreamUnavailable),
    "bare rate limit": (lambda told: [bare(told, "busy")], UpstreamRateLimited),
    "error": (lambda told: [told.opening, told.failing("down", "boom")], UpstreamUnavailable),
    "busy": (lambda told: [told.opening, told.failing("busy", "boom")], UpstreamRateLimited),
    "theirs": (lambda told: [told.failing("theirs", "boom")], UpstreamRejected),
    "bad event": (lambda told: [told.opening, told.event("{broken")], UpstreamMalformed),
    "done at once": (lambda told: [told.last], UpstreamTruncated),
    "done without content": (lambda told: [told.opening, told.last], UpstreamTruncated),
    "nothing": (lambda told: [], UpstreamTruncated),
    "a comment": (lambda told: [b": keepalive\n\n"], UpstreamTruncated),
    "an event without data": (lambda told: [b"event: x\n\n"], UpstreamTruncated),
}
BAD_ENDS: dict[str, tuple[Parts, Behaviour | None, type[UpstreamError]]] = {
    "error": (lambda told: [told.failing("down", "boom"), told.last], None, UpstreamUnavailable),
    "bad event": (
        lambda told: [told.event("{broken"), told.part("b"), told.ending, told.last],
        None,
        UpstreamMalformed,
    ),
    "done without an end": (lambda told: [told.last], None, UpstreamTruncated),
    "no end": (lambda told: [], None, UpstreamTruncated),
    "half an event": (lambda told: [b"data: {"], None, UpstreamMalformed),
    "dropped": (lambda told: [], drops(), UpstreamTruncated),
    "silent": (lambda told: [], stalls(), UpstreamTimeout),
}


def bare(speech: Speech, fault: Fault) -> bytes:
    return orjson.dumps(speech.fault(fault, "no"))


def cleared(
    provider: BaseLLMProvider, dialect: Dialect = "chat", *, stream: bool = False, **changes: Any
) -> Cleared:
    body = {**ASKED[dialect], **({"stream": True} if stream else {})}
    call = ChatCall(SERVED, body, stream=stream, dialect=dialect)
    return Cleared(call._replace(**changes), provider.destination)


async def plain(provider: BaseLLMProvider, dialect: Dialect = "chat", **changes: Any) -> PlainReply:
    reply = await provider.send(cleared(provider, dialect, **changes))
    assert isinstance(reply, PlainReply)
    return reply


async def begun(
    provider: BaseLLMProvider, dialect: Dialect = "chat", **changes: Any
) -> StreamReply:
    reply = await provider.send(cleared(provider, dialect, stream=True, **changes))
    assert isinstance(reply, StreamReply)
    return reply


async def read(reply: StreamReply, into: list[bytes] | None = None) -> bytes:
    parts: list[bytes] = [] if into is None else into
    try:
        while part := await reply.next():
            parts.append(part)
    finally:
        reply.close()
    return b"".join(parts)


def said(dialect: Dialect, told: bytes) -> str:
    """The text in the events of a stream."""
    if dialect == "chat":
        return "".join(text_of(told))
    deltas = [event["delta"] for event in chunks_of(told) if "delta" in event]
    return "".join(
        str(delta.get("text", "")) if isinstance(delta, dict) else str(delta) for delta in deltas
    )


def is_free(provider: BaseLLMProvider) -> None:
    assert provider.condition().load == 0
