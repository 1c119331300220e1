"""One address in front of several replicas: each connection goes to one of them, for its life.

An OpenEnv session is a connection, so the replica with the fewest connections gets the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

HOST = "127.0.0.1"
Spawn = Callable[[Coroutine[None, None, None]], object]


class Target(Protocol):
    """A replica as the forwarder sees it."""

    port: int

    def took(self) -> None:
        """One more connection goes to it."""

    def lost(self) -> None:
        """One of them has ended."""


class Forwarder:
    """``pick`` gives the replica of the next connection, or None to refuse it.

    ``spawn`` owns the tasks that connect.
    """

    def __init__(self, pick: Callable[[], Target | None], spawn: Spawn) -> None:
        self._pick = pick
        self._spawn = spawn
        self._server: asyncio.Server | None = None
        self._callers: set[_Caller] = set()

    async def listen(self, port: int) -> int:
        """Take ``port``, or a free one where it is 0 or taken; returns it."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._caller, HOST, port, backlog=1024)
        except OSError:
            server = await loop.create_server(self._caller, HOST, 0, backlog=1024)
        self._server = server
        taken: int = server.sockets[0].getsockname()[1]
        return taken

    def close(self) -> None:
        """Take no more connections and cut those there are."""
        if self._server is not None:
            self._server.close()
        for caller in list(self._callers):
            caller.cut()

    def _caller(self) -> _Caller:
        return _Caller(self._pick, self._spawn, self._callers)


class _Side(asyncio.Protocol):
    """Hands on what it receives; a slow receiver stops the sender."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Half-closed: the other direction may still have something to say."""
        self.ended = True
        if self.other is not None and self.other.ended:
            return False
        other = self.other.transport if self.other is not None else None
        if other is not None and other.can_write_eof():
            other.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Caller(_Side):
    """The accepted side: it finds its replica first, and reads nothing until then."""

    def __init__(
        self, pick: Callable[[], Target | None], spawn: Spawn, callers: set[_Caller]
    ) -> None:
        super().__init__()
        self._pick = pick
        self._spawn = spawn
        self._callers = callers
        self._target: Target | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._callers.add(self)
        self._target = self._pick()
        if self._target is None or self.transport is None:
            self.cut()
            return
        self._target.took()
        self.transport.pause_reading()
        self._spawn(self._connect(self._target.port))

    async def _connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        replica = _Side()
        replica.other = self
        try:
            await loop.create_connection(lambda: replica, HOST, port)
        except OSError:
            self.cut()
            return
        self.other = replica
        if self.transport is None or self.transport.is_closing():
            replica.cut()
        else:
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._callers.discard(self)
        if self._target is not None:
            self._target.lost()
            self._target = None
