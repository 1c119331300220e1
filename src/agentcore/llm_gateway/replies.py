"""Replies as in-process callers want them: text instead of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Protocol

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, loads_leniently
from agentcore.llm_gateway.chat_wire import first_choice
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import LLMRequest, LLMResponse
from agentcore.llm_gateway.wire import PlainReply


class Streamed(Protocol):
    """An answer under way."""

    async def next(self) -> bytes: ...

    def close(self) -> None: ...


class Sender(Protocol):
    """Whoever sends what is cleared for its destination."""

    destination: Destination

    async def send(self, cleared: Cleared) -> Reply: ...


async def completed(
    sender: Sender, request: LLMRequest, clock: Clock, *, timeout: float | None = None
) -> LLMResponse:
    """The whole answer; its cost is known to none but the router.

    Raises:
        As ``send``.
    """
    began = clock.monotonic()
    deadline = None if timeout is None else began + timeout
    reply = await sender.send(Cleared(request.call(deadline=deadline), sender.destination))
    latency = (clock.monotonic() - began) * 1000
    name = sender.destination.name
    return read_whole(reply, request, provider=name, latency_ms=latency, cost=None)


async def streamed(sender: Sender, request: LLMRequest) -> AsyncIterator[str]:
    """The answer's text as it arrives; as ``completed``."""
    reply = await sender.send(Cleared(request.call(stream=True), sender.destination))
    async with aclosing(read_stream(reply, provider=sender.destination.name)) as texts:
        async for text in texts:
            yield text


async def read_stream(reply: Streamed | PlainReply, *, provider: str) -> AsyncGenerator[str]:
    """The answer's text as it arrives; a failure after its begin is raised.

    To be closed by whoever reads it: the answer is under way until then.
    """
    if isinstance(reply, PlainReply):
        raise UpstreamMalformed(f"{provider} did not stream", provider=provider)
    try:
        while block := await reply.next():
            for text in text_of(block):
                yield text
    finally:
        reply.close()


def read_whole(
    reply: Streamed | PlainReply,
    request: LLMRequest,
    *,
    provider: str,
    latency_ms: float,
    cost: Decimal | None,
) -> LLMResponse:
    """The first choice; ``content`` is empty where the model called tools instead of speaking."""
    if not isinstance(reply, PlainReply):
        reply.close()
        raise UpstreamMalformed(f"{provider} streamed an answer not asked for", provider=provider)
    choice = first_choice(reply.document)
    message = choice.get("message")
    known = message if isinstance(message, dict) else {}
    content = known.get("content")
    finish = choice.get("finish_reason")
    return LLMResponse(
        content=content if isinstance(content, str) else "",
        provider=provider,
        model=request.model,
        usage=reply.usage,
        latency_ms=latency_ms,
        trace_id=request.trace_id,
        cost=cost,
        finish_reason=finish if isinstance(finish, str) else None,
        message=known,
    )


def payloads_of(block: bytes) -> Iterator[bytes]:
    """What complete events carry, ``[DONE]`` too; the lines of one event belong together."""
    lines: list[bytes] = []
    for line in block.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:].strip())
        elif lines and not line:
            yield b"\n".join(lines)
            lines = []
    if lines:
        yield b"\n".join(lines)


def chunks_of(block: bytes) -> Iterator[JsonObject]:
    """The documents in complete events, as ``StreamReply.next`` returns them."""
    for payload in payloads_of(block):
        if payload.startswith(b"{"):
            document = loads_leniently(payload)
            if isinstance(document, dict):
                yield document


def text_of(block: bytes) -> Iterator[str]:
    """The text deltas in complete events, as ``StreamReply.next`` returns them."""
    for chunk in chunks_of(block):
        delta = first_choice(chunk).get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            yield text
