"""Server-Sent Events: what a stream of them is made of, and the response that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import StreamingResponse

from agentcore.kit.standing import RECHECK_SECONDS, STANDING, Standing

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

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
    """Ends when ``events`` do, or when the reader's credential is no longer good.

    Closes ``events`` when the reader goes away first.
    """

    def __init__(
        self, events: AsyncGenerator[ServerEvent], *, recheck_seconds: float = RECHECK_SECONDS
    ) -> None:
        self._events = events
        self._recheck_seconds = recheck_seconds
        self._standing: Standing | None = None
        # What there is to send is known to ``stream_response`` alone.
        super().__init__((), headers=HEADERS, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._standing = scope.get("state", {}).get(STANDING)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """As that of the base, which would be one more generator on the way of each event."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        # A reader that goes while something is sent leaves the generator where it is.
        async with aclosing(self._events) as events:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            await send(_part(RETRY))
            async for event in events:
                if self._standing is not None and loop.time() - asked >= self._recheck_seconds:
                    asked = loop.time()
                    if not await self._standing():
                        break
                await send(_part(encode(event)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
