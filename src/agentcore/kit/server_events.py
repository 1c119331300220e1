"""Server-Sent Events: what a stream of them is made of, and the response that carries them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from starlette.types import Send

RETRY = b"retry: 1000\n\n"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class ServerEvent(NamedTuple):
    """``data`` is one line; a reader that comes back names the last ``id`` it has seen."""

    data: bytes
    id: str = ""


# What keeps proxies from taking a quiet stream for a dead one.
HEARTBEAT = ServerEvent(b"")


def encode(event: ServerEvent) -> bytes:
    if event is HEARTBEAT:
        return b": \n\n"
    if event.id:
        return b"id: %b\ndata: %b\n\n" % (event.id.encode(), event.data)
    return b"data: %b\n\n" % event.data


class EventResponse(StreamingResponse):
    """Ends when ``events`` do; closes them when the reader goes away first."""

    def __init__(self, events: AsyncGenerator[ServerEvent]) -> None:
        self._body = _body(events)
        super().__init__(self._body, headers=HEADERS, media_type="text/event-stream")

    async def stream_response(self, send: Send) -> None:
        # A reader that goes while something is sent leaves the generator where it is.
        async with aclosing(self._body):
            await super().stream_response(send)


async def _body(events: AsyncGenerator[ServerEvent]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        yield RETRY
        async for event in events:
            yield encode(event)
