"""One HTTP/1.1 client connection on httptools (llhttp): a request goes out, its answer is awaited.

Own code, because the client decides what a gateway costs (docs/how-to/benchmark.md). It knows only
what the data path needs: one request at a time, bodies of known length, limits on everything.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from agentcore.llm_gateway.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)

LARGEST_HEAD = 64 * 1024
# Beyond this the provider is made to wait until the caller has taken what there is.
HIGH_WATER = 256 * 1024
# Timers of the event loop may fire this much early.
TICK = 0.002


class Connection(asyncio.Protocol):
    """``untouched`` tells after a failure that the provider cannot have begun to answer."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_buffered",
        "_end",
        "_failure",
        "_head_size",
        "_headers",
        "_keep",
        "_loop",
        "_parser",
        "_parts",
        "_paused",
        "_provider",
        "_reading_to_end",
        "_transport",
        "_waiter",
        "_when",
        "complete",
        "idle_since",
        "status",
        "untouched",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._provider = ""
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._end = self._alarm_at = 0.0
        self._when = ""
        self._alarm: asyncio.TimerHandle | None = None
        self._failure: UpstreamError | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._paused = False
        self._reset()
        self.idle_since = 0.0
        self.complete = True

    @property
    def usable(self) -> bool:
        """Another request may follow on this connection."""
        return self.complete and self._keep and self._failure is None

    def header(self, name: bytes) -> bytes | None:
        """``name`` in lower case; the last one of several."""
        return self._headers.get(name)

    def send(self, head: bytes, body: bytes, *, provider: str) -> None:
        """``provider`` is who will be named if it fails."""
        self._provider = provider
        self._reset()
        self._transport.writelines((head, body))

    async def answered(self, seconds: float) -> int:
        """The status, once the answer's head is there.

        Raises:
            UpstreamTimeout: it is not there within ``seconds``.
            UpstreamUnavailable: the connection broke before.
            UpstreamMalformed: what came is no HTTP.
        """
        end = self._loop.time() + seconds
        while self.status == 0:
            await self._wait(end, "before it answered")
        return self.status

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes of the body as they came; empty at its end.

        Raises:
            UpstreamTimeout: there are none within ``seconds``.
            UpstreamTruncated: the connection broke before the end.
        """
        if not self._parts and not self.complete:
            end = self._loop.time() + seconds
            while not self._parts and not self.complete:
                await self._wait(end, "in the middle of its answer")
        parts, self._parts = self._parts, []
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def abort(self) -> None:
        self._keep = False
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.complete:
            # Bytes that nobody asked for: what belongs to what can no longer be told.
            self._fail(UpstreamMalformed, "spoke out of turn")
            return
        self.untouched = False
        if self.status == 0:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(UpstreamMalformed, f"does not speak HTTP: {exc}")
            return
        if self.status == 0 and self._head_size > LARGEST_HEAD:
            self._fail(UpstreamMalformed, "answers with an endless head")
            return
        self._wake()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reading_to_end and exc is None:
            self.complete = True
        self._keep = False
        if not self.complete and self._failure is None:
            began = self.status != 0
            kind = UpstreamTruncated if began else UpstreamUnavailable
            when = "in the middle of its answer" if began else "before it answered"
            self._failure = self._error(kind, f"closed the connection {when}")
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._wake()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            # A second answer to one request: nothing on this connection can be trusted now.
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status = status
        headers = self._headers
        bounded = b"content-length" in headers or b"transfer-encoding" in headers
        self._reading_to_end = not bounded and status not in {204, 304}
        self._keep = self._parser.should_keep_alive() and not self._reading_to_end

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._parts.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if self.status == 0:
            # An interim answer (100, 103): the real one follows.
            self._headers = {}
        else:
            self.complete = True

    def _reset(self) -> None:
        self.status = 0
        self.complete = False
        self.untouched = True
        self._headers = {}
        self._head_size = 0
        self._parts = []
        self._buffered = 0
        self._paused = False
        self._keep = True
        self._reading_to_end = False

    def _fail(self, kind: type[UpstreamError], what: str) -> None:
        self._failure = self._error(kind, what)
        self._wake()
        self.abort()

    def _error(self, kind: type[UpstreamError], what: str) -> UpstreamError:
        return kind(f"{self._provider} {what}", provider=self._provider)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self, end: float, when: str) -> None:
        """Until something has arrived or failed; ``end`` is a moment of the loop's clock."""
        if self._failure is None:
            self._waiter = self._loop.create_future()
            self._end, self._when = end, when
            if self._alarm is None or self._alarm_at > end:
                self._set_alarm()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._failure is not None and not self._parts:
            raise self._failure

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._end
        self._alarm = self._loop.call_at(self._end, self._late)

    def _late(self) -> None:
        """One alarm serves many waits: each for itself would cost more than what it waits for."""
        self._alarm = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() < self._end - TICK:
            self._set_alarm()
        else:
            waiter.set_exception(self._error(UpstreamTimeout, f"fell silent {self._when}"))
