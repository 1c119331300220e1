"""WebSockets under uvicorn, with a short way for the frames that sessions are made of.

A whole, unfragmented text frame is unmasked and handed to the application at once, and answers
are written as one frame; everything else (handshake, control frames, fragments, faults) is left to
the `websockets` library, which sees whole frames and keeps its place between them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

# RFC 6455, section 5.2.
FIN_TEXT, FIN, RESERVED, OPCODE = 0x81, 0x80, 0x70, 0x0F
CONTINUATION, CONTROL = 0x0, 0x8
KNOWN = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})
MASKED, LENGTH, SMALL = 0x80, 0x7F, 126
NOT_UTF_8 = 1007
# Frames that wait for the application; more, or a large one, and nothing further is read.
MOST_WAITING = 8
LARGE = 64 * 1024


class Inbox:
    """The few methods of a queue that the protocol uses, for one reader."""

    __slots__ = ("_loop", "_messages", "_reader")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[ASGIReceiveEvent] = deque()
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        self._messages.append(message)
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        while not self._messages:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.popleft()

    def empty(self) -> bool:
        return not self._messages

    def __len__(self) -> int:
        return len(self._messages)


class LeanWebSockets(WebSocketsSansIOProtocol):
    """``ws=LeanWebSockets`` in uvicorn's configuration."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox = Inbox(self.loop)
        self.queue = self._inbox  # type: ignore[assignment]  # what the base class needs of it
        self._pending = bytearray()
        # Bytes of the frame whose beginning is pending, as far as that tells.
        self._awaited = 0
        self._fragmented = False
        # Once over, the library reads for itself: a peer that breaks the protocol is its business.
        self._lean = True

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated or not self._lean:
            super().data_received(data)
            return
        if self._pending:
            self._pending += data
            if len(self._pending) < self._awaited:
                return
            data = bytes(self._pending)
            self._pending.clear()
        rest = self._taken(data)
        if rest < len(data) and self._lean:
            self._lean = False
            super().data_received(data[rest:])

    def _taken(self, data: bytes) -> int:
        """Take whole frames and keep a part of one; what is left from there is not sound."""
        at, size = 0, len(data)
        while at < size and self._lean:
            if size - at > 1 and not _known(data[at], data[at + 1]):
                return at
            header, payload = _measured(data, at)
            if header and not self._sound(data[at], payload):
                return at
            whole = at + header + payload
            if not header or whole > size:
                self._pending += data[at:]
                self._awaited = whole - at
                return size
            if data[at] == FIN_TEXT and not self._fragmented:
                self._text(data[at + header - 4 : at + header], data[at + header : whole])
            else:
                self._other(data[at:whole])
            at = whole
        return at

    def _sound(self, first: int, payload: int) -> bool:
        """Whether a frame may come here; what may not is refused by the library, header unread."""
        opcode = first & OPCODE
        if opcode >= CONTROL:
            return bool(first & FIN) and payload < SMALL
        return payload <= self.config.ws_max_size and (opcode == CONTINUATION) == self._fragmented

    def _text(self, mask: bytes, masked: bytes) -> None:
        """Hand a message to the application."""
        try:
            text = apply_mask(masked, mask).decode()
        except UnicodeDecodeError:
            self._lean = False
            self.conn.send_close(NOT_UTF_8)
            self.handle_parser_exception()
            return
        if self.close_sent:
            return
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})
        if (len(masked) > LARGE or len(self._inbox) > MOST_WAITING) and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _other(self, frame: bytes) -> None:
        if frame[0] & OPCODE < CONTROL:
            self._fragmented = not frame[0] & FIN
        super().data_received(frame)
        self._lean = self._lean and self.conn.parser_exc is None

    async def receive(self) -> ASGIReceiveEvent:
        message = await self._inbox.get()
        if self.read_paused and self._inbox.empty():
            self.read_paused = False
            self.transport.resume_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        if self.handshake_complete and self.transport.is_closing():
            # Also where the peer broke the protocol: to the application it is a peer that left.
            raise ClientDisconnected
        if message["type"] == "websocket.send" and self.handshake_complete and not self.close_sent:
            text = message.get("text")
            if text is not None and not self.disconnected and self.writable.is_set():
                self.transport.write(_frame(text.encode()))
                return
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # A refusal by a page is an end of the handshake like any other.
            self.handshake_complete = True


def _known(first: int, second: int) -> bool:
    """Whether a client's frame may begin with these bytes."""
    return not first & RESERVED and second & MASKED != 0 and first & OPCODE in KNOWN


def _measured(data: bytes, at: int) -> tuple[int, int]:
    """Bytes of header and payload of the frame that begins there; 0 and 0: there is too little."""
    left = len(data) - at
    if left < 2:
        return 0, 0
    short = data[at + 1] & LENGTH
    header = 6 if data[at + 1] & MASKED else 2
    if short < SMALL:
        return header, short
    extended = 2 if short == SMALL else 8
    if left < 2 + extended:
        return 0, 0
    return header + extended, int.from_bytes(data[at + 2 : at + 2 + extended], "big")


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < SMALL:
        return bytes((FIN_TEXT, size)) + payload
    if size < 0x10000:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
