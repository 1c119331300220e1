"""WebSocket frames (RFC 6455, section 5) as far as speed is worth it: whole text messages. Pure.

Nearly every frame of a session is one short text message. Those are written and read here; of all
others only the end is found, for the ``websockets`` library to judge them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

FINAL_TEXT, CLOSE = 0x81, 0x88
# First bytes there may be: continuation, text and binary, final or not; close, ping and pong.
HEADS = frozenset({0x00, 0x01, 0x02, 0x80, FINAL_TEXT, 0x82, CLOSE, 0x89, 0x8A})
FINAL = MASKED = 0x80
# How a length says that it is in the two or eight bytes that follow.
TWO_BYTES, EIGHT_BYTES = 126, 127
STARTS = {TWO_BYTES: 4, EIGHT_BYTES: 10}


# Drawn in advance: to ask the kernel for each takes as long as all else that makes a frame.
_KEYS: list[bytes] = []
KEYS_DRAWN = 256
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_KEYS.clear)


def _key() -> bytes:
    """A mask that nobody can foresee, and that none of several threads gets twice."""
    while True:
        try:
            return _KEYS.pop()
        except IndexError:
            drawn = os.urandom(4 * KEYS_DRAWN)
            _KEYS.extend(drawn[at : at + 4] for at in range(0, len(drawn), 4))


def text_frame(message: bytes) -> bytes:
    """``message`` as a client sends it: in one frame, masked by a key that nobody can foresee."""
    size, key = len(message), _key()
    if size < TWO_BYTES:
        return b"\x81%c%b%b" % (MASKED | size, key, apply_mask(message, key))
    if size < 1 << 16:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    return b"%b%b%b" % (head, key, apply_mask(message, key))


class FrameCutter:
    """Cuts what a server sends into text messages and all else, wherever its reads end.

    All else is handed on as it is on the wire, in whole frames, until one breaks the framing, is
    too large or closes the connection: from there on nothing is looked at any more.
    """

    __slots__ = ("_between", "_gathered", "_largest", "_passing", "_rest", "_wanted")

    def __init__(self, largest: int) -> None:
        """A message of more than ``largest`` bytes is not waited for."""
        self._largest = largest
        self._rest = bytearray()
        # So many bytes of rest it takes to go on.
        self._wanted = 2
        # Bytes so far of a message in fragments.
        self._gathered: int | None = None
        self._passing = False
        # Whether the next byte begins a frame, and no message is open. Not before the first cut.
        self._between = False

    def message(self, buffer: bytearray, size: int) -> bytes | None:
        """The message, if the ``size`` bytes that came are one and no more; else ``cut`` them."""
        if not self._between or buffer[0] != FINAL_TEXT:
            return None
        start, length = 2, buffer[1]
        if length == TWO_BYTES:
            start, length = 4, buffer[2] << 8 | buffer[3]
        elif length > TWO_BYTES:
            return None
        return bytes(buffer[start:size]) if start + length == size else None

    def cut(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Text messages, with True, and all else, in order; to be read to its end."""
        self._rest += data
        while not self._passing and len(self._rest) >= self._wanted:
            yield from self._frame()
        if self._passing and self._rest:
            yield False, self._taken(len(self._rest))
        self._between = not (self._passing or self._rest) and self._gathered is None

    def pass_on(self) -> None:
        """Look at nothing from here on."""
        self._passing, self._between = True, False

    def _frame(self) -> Iterator[tuple[bool, bytes]]:
        """The frame that rest begins with, if it is there; else how much of it is wanted."""
        head, second = self._rest[0], self._rest[1]
        size = self._size(head, second)
        if size is None:
            self._passing = True
            return
        self._wanted = size
        if len(self._rest) < size:
            return
        start = STARTS.get(second, 2)
        frame, self._wanted = self._taken(size), 2
        if head == FINAL_TEXT and self._gathered is None:
            yield True, frame[start:]
            return
        if head < CLOSE:
            self._gathered = None if head & FINAL else (self._gathered or 0) + size - start
        self._passing = head == CLOSE
        yield False, frame

    def _size(self, head: int, second: int) -> int | None:
        """Of the frame, or of its head where that is not there yet; None where it may not be."""
        if head not in HEADS or second & MASKED or (head >= CLOSE and second >= TWO_BYTES):
            return None
        start, length = STARTS.get(second, 2), second
        if len(self._rest) < start:
            return start
        if start > 2:
            length = int.from_bytes(self._rest[2:start], "big")
        return start + length if length <= self._largest - (self._gathered or 0) else None

    def _taken(self, size: int) -> bytes:
        with memoryview(self._rest) as rest:
            taken = bytes(rest[:size])
        del self._rest[:size]
        return taken
