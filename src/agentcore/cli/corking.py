"""One write where uvicorn makes two: an answer's head waits for its first bytes.

Each write to a socket is a system call that wakes the other side. The head waits only as long as
the application runs without waiting for anything itself, so nobody gets it later than before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# Of what is closed with bytes unsent, some go out in each such time, or the client takes no more.
LINGER_SECONDS = 30.0
HEAD = b"HTTP/1.1 "
END = b"\r\n\r\n"


class Corked(asyncio.Transport):
    """Writes to ``transport``; what is not about writing is asked of that itself."""

    __slots__ = ("_head", "_loop", "is_closing", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing  # type: ignore[method-assign]  # asked for often

    def write(self, data: bytes | bytearray | memoryview) -> None:
        head = self._head
        if head:
            self._head = b""
            self.transport.writelines((head, data))
        elif data[:9] == HEAD and data[-4:] == END:
            self.hold(bytes(data))
        else:
            self.transport.write(data)

    def hold(self, head: bytes) -> None:
        """Keep ``head`` for what is written next, or till the application waits."""
        self._head = head
        self._loop.call_soon(self.flush)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.flush()
        self.transport.writelines(list_of_data)

    def flush(self) -> None:
        """Let go of a head that waits."""
        head, self._head = self._head, b""
        if head:
            self.transport.write(head)

    def close(self) -> None:
        """Send what is left and close; a client that does not read would keep it open for ever."""
        self.flush()
        self.transport.close()
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            self._loop.call_later(LINGER_SECONDS, self._linger, unsent)

    def _linger(self, before: int) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before:
            self.transport.abort()
        elif unsent:
            self._loop.call_later(LINGER_SECONDS, self._linger, unsent)

    def abort(self) -> None:
        self._head = b""
        self.transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.transport.set_protocol(protocol)
