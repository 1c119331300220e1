"""Server-Sent Events as they arrive: bytes in any pieces, whole events out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(rb"\r\n|\n|\r")


class PeerEvent(NamedTuple):
    """``id`` is the last one that the stream has named, here or before."""

    data: bytes
    id: str


class TooLong(ValueError):
    pass


class EventSplitter:
    """Feed it what arrives; an event of more than ``most`` bytes raises ``TooLong``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pending = b""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""

    def feed(self, data: bytes) -> Iterator[PeerEvent]:
        data = self._pending + data
        # A return at the end may be half of a line's end.
        whole = len(data) - 1 if data.endswith(b"\r") else len(data)
        *lines, rest = _LINE.split(data[:whole])
        self._pending = rest + data[whole:]
        for line in lines:
            if not line:
                if event := self._ended():
                    yield event
            else:
                self._line(line)
        self._check(len(self._pending))

    def _line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            self._check(0)
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _ended(self) -> PeerEvent | None:
        data, self._data, self._size = b"\n".join(self._data), [], 0
        return PeerEvent(data, self._id) if data else None

    def _check(self, more: int) -> None:
        if self._size + more > self._most:
            raise TooLong(f"an event of more than {self._most} bytes")
