"""The client's end of a WebSocket (RFC 6455): text messages in both directions, one reader.

The protocol itself is the ``websockets`` library's, without its own connection: that has a queue,
locks and a timeout for every message, which cost more than all else in a step. Whole text messages,
which is what a session consists of, do not even pass the library (see ``framing``). Pings are
answered as they come in, also while nobody reads: an agent thinks for longer than servers wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Self, cast

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.uri import parse_uri

from agentcore.training.openenv.framing import FrameCutter, text_frame
from agentcore.training.openenv.glance import Glance

LARGEST_MESSAGE = 100 * 1024 * 1024
# Answers come one per question: whoever sends more than this unasked is not to be listened to.
MOST_UNREAD = 8
# asyncio's plain protocols take 256 KiB from the allocator for every read.
BUFFER_BYTES = 32 * 1024
END_OF_HANDSHAKE = b"\r\n\r\n"
# A message as it comes.
Coming = asyncio.Future[bytes]


class SocketClosed(Exception):
    """Nothing more will come; ``code`` is None where the other side sent no close frame."""

    def __init__(self, code: int | None, reason: str, fault: Exception | None) -> None:
        said = "without a close frame" if code is None else f"code {code}"
        super().__init__(f"{said}: {reason}" if reason else said)
        self.code = code
        self.fault = fault

    @property
    def message_too_large(self) -> bool:
        return isinstance(self.fault, PayloadTooBig)


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """This machine's certificate authorities; loading them takes 0.1 s."""
    return ssl.create_default_context()


class WebSocket(asyncio.BufferedProtocol):
    """An open connection; made by ``open``, ended by ``abort`` or ``close``."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(BUFFER_BYTES)
        self._received = memoryview(self._buffer)
        self._protocol = ClientProtocol(parse_uri(url), max_size=LARGEST_MESSAGE)
        self._cutter = FrameCutter(LARGEST_MESSAGE)
        self._open = False
        self._tail = b""
        self._headers = headers
        self._transport: asyncio.Transport
        self._glance: Glance | None = None
        self._shaken: asyncio.Future[None] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._reader: Coming | None = None
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, url: str, *, headers: Mapping[str, str], seconds: float) -> Self:
        """Connect and shake hands; redirects and proxies are not followed.

        Raises:
            OSError: no connection, also ``TimeoutError`` and ``ssl.SSLError``.
            websockets.exceptions.InvalidHandshake, InvalidURI: it is not a WebSocket.
        """
        socket = cls(url, headers)
        uri = socket._protocol.uri
        secure = default_tls() if uri.secure else None
        try:
            async with asyncio.timeout(seconds):
                await socket._loop.create_connection(lambda: socket, uri.host, uri.port, ssl=secure)
                await socket._shaken
        except BaseException:
            socket.abort()
            raise
        return socket

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more; messages that came before may still be unread."""
        return not self._open

    @property
    def unread(self) -> int:
        return len(self._messages)

    def send(self, message: bytes) -> None:
        """Send one text message; to an ended socket it is lost, which reading then tells."""
        if self._open:
            self._transport.write(text_frame(message))

    def expect(self, seconds: float) -> Coming:
        """The next message, whole, in a future that only one caller at a time may have.

        The future raises ``TimeoutError`` when none came within ``seconds``, and ``SocketClosed``
        when none will come.
        """
        reader: Coming = self._loop.create_future()
        if self._messages:
            reader.set_result(self._messages.popleft())
        elif not self._open:
            reader.set_exception(self._closed())
        else:
            self._reader = reader
            self._deadline = deadline = self._loop.time() + seconds
            # One timer watches many reads: to make and cancel one for each costs more than a read.
            if self._watch is None or self._watch.when() > deadline:
                self._rearm(deadline)
            if self._glance is not None:
                self._glance.expect(reader)
        return reader

    def look(self, coming: Coming) -> None:
        """Take what comes for ``coming`` within microseconds; whoever awaits it does so at once."""
        if self._glance is not None and self._open and not coming.done():
            size = self._glance.read(coming, self._buffer)
            if size:
                self._read(size)

    async def receive(self, seconds: float) -> bytes:
        """The next message, as ``expect`` has it."""
        return await self.expect(seconds)

    def abort(self) -> None:
        """Drop the connection at once; what was sent and not yet written is lost."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    async def closed(self, seconds: float) -> None:
        """Wait until the other side has closed the connection; after ``seconds`` drop it."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._lost)
        except TimeoutError:
            pass
        finally:
            self.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._glance = Glance.at(self._transport)
        request = self._protocol.connect()
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._flush()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._glance is not None:
            self._glance.turned()
        self._read(nbytes)

    def _read(self, nbytes: int) -> None:
        message = self._cutter.message(self._buffer, nbytes)
        if message is not None:
            self._deliver(message)
            return
        data = bytes(self._received[:nbytes])
        if self._open:
            self._cut(data)
        else:
            self._shake(data)

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        self._proceed()
        self._not_shaken(exc or ConnectionResetError("closed during the handshake"))
        if self._watch is not None:
            self._watch.cancel()
        if not self._lost.done():
            self._lost.set_result(None)

    def _shake(self, data: bytes) -> None:
        """The handshake is the library's; what comes behind it in the same read is not."""
        seen = self._tail + data
        end = seen.find(END_OF_HANDSHAKE)
        cut = len(data) if end < 0 else end + len(END_OF_HANDSHAKE) - len(self._tail)
        self._tail = seen[-len(END_OF_HANDSHAKE) + 1 :]
        self._protocol.receive_data(data[:cut])
        self._proceed()
        if self._open:
            self._cut(data[cut:])
        elif cut < len(data):
            self._protocol.receive_data(data[cut:])
            self._proceed()

    def _cut(self, data: bytes) -> None:
        for whole, piece in self._cutter.cut(data):
            if whole:
                self._deliver(piece)
                continue
            self._protocol.receive_data(piece)
            self._proceed()
            if not self._open:
                self._cutter.pass_on()

    def _proceed(self) -> None:
        for event in self._protocol.events_received():
            self._take(event)
        self._flush()
        self._open = self._protocol.state is State.OPEN
        if self._open:
            return
        refused = self._protocol.handshake_exc
        if refused is not None:
            self._not_shaken(refused)
        elif self._protocol.state is not State.CONNECTING:
            self._transport.close()
            if self._reader is not None and not self._reader.done():
                self._reader.set_exception(self._closed())

    def _not_shaken(self, reason: Exception) -> None:
        if not self._shaken.done():
            self._shaken.set_exception(reason)
            self._shaken.exception()  # nobody waits for it when opening was cancelled

    def _take(self, event: Event) -> None:
        if not isinstance(event, Frame):
            # The answer to the handshake; frames, and even the end, may come in the same read.
            if self._protocol.handshake_exc is None and not self._shaken.done():
                self._shaken.set_result(None)
            return
        if event.opcode not in _CONTENT:
            return
        self._parts.append(bytes(event.data))
        if event.fin:
            message = b"".join(self._parts)
            self._parts.clear()
            self._deliver(message)

    def _deliver(self, message: bytes) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(message)
            return
        self._messages.append(message)
        if len(self._messages) > MOST_UNREAD:
            self.abort()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _rearm(self, when: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._reader is None or self._reader.done():
            return
        if self._loop.time() < self._deadline:
            self._rearm(self._deadline)
        else:
            self._reader.set_exception(TimeoutError())

    def _closed(self) -> SocketClosed:
        protocol = self._protocol
        received = protocol.close_rcvd
        if received is None:
            return SocketClosed(None, "", protocol.parser_exc)
        return SocketClosed(int(received.code), received.reason, protocol.parser_exc)


_CONTENT = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
