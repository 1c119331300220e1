"""Requests and answers as nearly all of them are, at half of what uvicorn takes for any.

Whatever is out of the ordinary (other methods of framing, names that were not seen before, a client
that does not read) takes uvicorn's own way, so that there is one meaning of each.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from agentcore.cli.corking import Corked

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent

# A target that is its own path: nothing in it is encoded, and there is no query.
PATH = re.compile(rb"/[A-Za-z0-9/._~:@-]*")
CONTROLS = bytes(each for each in (*range(32), 127) if each != ord("\t"))
FRAMING = frozenset({b"connection", b"transfer-encoding"})
MOST_NAMES = 256
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
NO_BODY = frozenset({204, 304})
# Timers of the event loop may fire this much early.
TICK = 0.002

# Names of headers that were found good before.
_good: set[bytes] = {b"content-length"}


class Turn(RequestResponseCycle):
    async def send(self, message: ASGISendEvent) -> None:
        if not (self.flow.write_paused or self.disconnected or self.response_complete):
            if self.response_started:
                if message["type"] == "http.response.body" and self._continued(message):
                    return
            elif message["type"] == "http.response.start" and self._begun(message):
                return
        await super().send(message)

    def _begun(self, message: HTTPResponseStartEvent) -> bool:
        if self.default_headers:
            return False
        status = message["status"]
        lines = [STATUS_LINE[status]]
        length: int | None = None
        for name, value in message.get("headers", ()):
            if name not in _good and not _is_good(name):
                return False
            if name == b"content-length":
                if not value.isdigit():
                    return False
                length = int(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        if length is None and (status in NO_BODY or self.scope["method"] == "HEAD"):
            return False
        if not self.keep_alive:
            lines.append(CLOSE)
        if length is None:
            lines.append(CHUNKED)
        lines.append(b"\r\n")
        head = b"".join(lines)
        # A line break inside a value would forge a header.
        if len(head.translate(None, CONTROLS)) != len(head) - 2 * len(lines):
            return False
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = length is None
        self.expected_content_length = length or 0
        cast("Corked", self.transport).hold(head)
        return True

    def _continued(self, message: HTTPResponseBodyEvent) -> bool:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            return False
        if self.chunked_encoding:
            if not body or not more:
                return False
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            return True
        if more or len(body) != self.expected_content_length:
            return False
        self.expected_content_length = 0
        self.transport.write(body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class Turns(HttpToolsProtocol):
    """uvicorn's protocol, with such turns for requests that ask for nothing special.

    One timer watches over many pauses between requests: to make and cancel one for each costs more
    than all else that a pause takes.
    """

    _idle_since: float | None = None
    # Whose answer is under way where others wait behind it: uvicorn knows the last one alone.
    _before: RequestResponseCycle | None = None

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._before, app = self.pipeline.pop()
            self._start_asgi_task(self._before, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            # A request is on its way; its answer's end begins anew.
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > TICK:
            self._close_after(left)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        before, self._before = self._before, None
        if before is not None and not before.response_complete:
            before.disconnected = True
            before.message_event.set()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _close_after(self, seconds: float) -> None:
        handler = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, handler)

    def _unset_keepalive_if_required(self) -> None:
        """Bytes alone end no pause: empty lines begin nothing, nor does the rest of a body whose
        request was answered before. A request that begins does.
        """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle_since = None

    def on_headers_complete(self) -> None:
        # The answer before may have ended within this head.
        self._idle_since = None
        unusual = self.root_path or self.limit_concurrency is not None
        if unusual or self.parser.should_upgrade() or not PATH.fullmatch(self.url):
            self._keep_in_mind(self.cycle)
            super().on_headers_complete()
            return
        version = self.parser.get_http_version()
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        scope["path"] = self.url.decode("ascii")
        scope["raw_path"] = self.url
        scope["query_string"] = b""
        before: RequestResponseCycle | None = self.cycle
        self.cycle = Turn(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and self.parser.should_keep_alive(),
            self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # It was sent before the answer to the one before: it waits for its turn.
            self._keep_in_mind(before)
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _keep_in_mind(self, before: RequestResponseCycle | None) -> None:
        if not self.pipeline:
            self._before = before


def _is_good(name: bytes) -> bool:
    """Whether a header may have this name, in the usual spelling, and says nothing of framing."""
    if name in FRAMING or not name.islower() or HEADER_RE.search(name):
        return False
    if len(_good) < MOST_NAMES:
        _good.add(name)
    return True
