"""HTTP/1.1 under uvicorn with requests that come soon, and heads that are not too large.

A head is read before anybody is asked who they are. Neither uvicorn nor its parser bounds it, and
the parser copies what it has of a field with each part that arrives. Nor do they bound the time in
which a body comes: who sends a byte now and then has a connection for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from agentcore.cli.turns import Turns

LARGEST_HEAD = 64 * 1024
HEAD_SECONDS = 30.0
# Of a body so many bytes come in as many seconds, or its sender is too slow.
BODY_SECONDS = 30.0
LEAST_BYTES = 16 * 1024
# Clients keep idle connections for a while (httpx 5 s, aiohttp 15, load balancers 60). A request
# that is sent while the server closes its connection is lost: the client has to be the first.
KEEP_ALIVE_SECONDS = 75
REFUSED = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHeads(Turns):
    """Whoever sends more than ``LARGEST_HEAD`` before a head's end, or has not come to it
    ``HEAD_SECONDS`` after its begin, is disconnected. What comes with the first or last part of a
    head counts as a part of it. So is who sends less than ``LEAST_BYTES`` of an unfinished body in
    ``BODY_SECONDS``, unless it is the server that does not read.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_body = False
    _body_bytes = 0
    _body_timer: asyncio.TimerHandle | None = None
    _waited = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class has it
        super().connection_made(transport)
        self._head_begins()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_ends()
        self.body_ends()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._head_ends()
        self._in_body = True
        super().on_headers_complete()

    def goes_on(self, data: bytes) -> None:
        """To be called with what was received when the parser has read it."""
        if not self._in_head:
            if self._in_body:
                self._body_goes_on(len(data))
            return
        if self.transport.is_closing():
            return
        if self._head_timer is None:
            self._head_begins()
        self._head_bytes += len(data)
        if self._head_bytes > LARGEST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def _head_begins(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._late)

    def _head_ends(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        if self._answering:
            # The server itself may have stopped reading until its answer is through.
            self._head_begins()
        else:
            self._refuse(b"408 Request Timeout")

    def _body_goes_on(self, size: int) -> None:
        if self._body_timer is None and not self.transport.is_closing():
            self._body_begins()
        self._body_bytes += size

    def _body_begins(self) -> None:
        self._body_bytes = 0
        self._waited = self.flow.read_paused
        self._body_timer = self.loop.call_later(self.body_seconds, self._slow)

    def body_ends(self) -> None:
        """To be called at the end of each message."""
        self._in_body = False
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _slow(self) -> None:
        # Where the server did not read at either end, it may not have done so in between.
        if self._body_bytes >= LEAST_BYTES or self._waited or self.flow.read_paused:
            self._body_begins()
            return
        if not self.cycle.response_started:
            self.transport.write(REFUSED % b"408 Request Timeout")
        self.transport.close()

    @property
    def _answering(self) -> bool:
        # There is none before the first request, though it is declared otherwise.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: bytes) -> None:
        """Where nothing was asked, or the answer before is not through, nothing is said."""
        if self._head_bytes and not self._answering:
            self.transport.write(REFUSED % status)
        self._head_ends()
        self.transport.close()
