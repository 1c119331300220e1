"""HTTP/1.1 under uvicorn for clients that offer another protocol with a request.

Java's HTTP client, which the A2A SDK for Java uses, offers HTTP/2 with its requests. A server may
ignore the offer (RFC 9110, section 7.8), but the parser takes what comes behind the head for the
other protocol's, and the request would lose its body (uvicorn's issue 2722).
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from agentcore.cli.corking import Corked
from agentcore.cli.old_clients import unchunked
from agentcore.cli.request_heads import BoundedHeads

OFFER = frozenset({b"upgrade", b"http2-settings"})
INVALID = "Invalid HTTP request received."


class PlainHttp(BoundedHeads):
    """``http=PlainHttp`` in uvicorn's configuration: only WebSockets are upgraded to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.transport = Corked(self.transport, self.loop)

    def handle_websocket_upgrade(self) -> None:
        # Frames of a WebSocket are written one by one.
        if isinstance(self.transport, Corked):
            self.transport.flush()
            self.transport = self.transport.transport
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
            self.goes_on(data)
        except httptools.HttpParserError:
            self.logger.warning(INVALID)
            self.send_400_response(INVALID)
        except httptools.HttpParserUpgrade as offer:
            if self._declined():
                self._read_without_offer(data[offer.args[0] :])
            elif self._should_upgrade():
                self.handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        if not self._declined():
            super().on_headers_complete()
            if self.scope["http_version"] == "1.0":
                unchunked(self.cycle)

    def on_message_complete(self) -> None:
        if not self._declined():
            self.body_ends()
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        # RFC 6455, section 4.1: the opening handshake is a GET.
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def _declined(self) -> bool:
        """Whether the request at hand offers a protocol that is not spoken here."""
        if not self.parser.should_upgrade() or self._get_upgrade() is None:
            return False
        return not self._should_upgrade()

    def _read_without_offer(self, rest: bytes) -> None:
        """Read the request again as if it had offered nothing; ``rest`` follows its head."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in OFFER]
        self.parser = httptools.HttpRequestParser(self)
        # As the base class has it: an answer may be owed to what came before a "close".
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)
