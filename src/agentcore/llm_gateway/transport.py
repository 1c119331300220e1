"""The data path's HTTP: pooled connections, one exchange at a time, faults by name."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import NamedTuple

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.connection import Connection
from agentcore.llm_gateway.errors import (
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnavailable,
)

# A complete answer larger than this is an attack or a bug.
LARGEST_ANSWER = 64 * 1024 * 1024
IDLE_SECONDS = 30.0
IDLE_PER_ORIGIN = 256
# A connection that was closed while idle says so by then; later, the request has been read.
STALE_SECONDS = 1.0
URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\]]+\]|[^/:]+)(?::(?P<port>\d+))?(?P<path>/.*)?"
)


class Origin(NamedTuple):
    host: str
    port: int
    encrypted: bool


class ConnectionPool:
    """Connections of the process to its providers; whoever opens it closes it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: dict[Origin, deque[Connection]] = {}
        self._encryption: ssl.SSLContext | None = None
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, the most recently used first; None if there is none."""
        idle = self._idle.get(origin)
        oldest = self._clock.monotonic() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if not connection.usable:
                continue
            if connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin, provider: str, seconds: float) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses(origin.host)
                connection = await self._connected(origin, addresses)
        except TimeoutError as exc:
            raise UpstreamTimeout(
                f"{provider} cannot be reached within {seconds:g} s", provider=provider
            ) from exc
        except OSError as exc:
            raise UpstreamUnavailable(
                f"{provider} cannot be reached: {_reason(exc)}", provider=provider
            ) from exc
        return connection

    async def _addresses(self, host: str) -> list[str]:
        """Whoever asks for a name meanwhile waits for the same answer: a lookup takes a thread,
        and a name server that hangs would soon have all of them.
        """
        if _is_address(host):
            return [host]
        lookup = self._lookups.get(host)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = self._lookups[host] = loop.run_in_executor(None, _looked_up, host)
            lookup.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(lookup)

    def _forget(self, host: str, lookup: asyncio.Future[list[str]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            # Everybody who asked may have left.
            lookup.exception()

    async def _connected(self, origin: Origin, addresses: Sequence[str]) -> Connection:
        """To the first of its addresses that takes the connection."""
        loop = asyncio.get_running_loop()
        refusal: OSError | None = None
        for address in addresses:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    address,
                    origin.port,
                    ssl=self._context() if origin.encrypted else None,
                    server_hostname=origin.host if origin.encrypted else None,
                )
            except OSError as exc:
                refusal = exc
            else:
                return connection
        raise refusal or OSError("it has no address")

    def give_back(self, origin: Origin, connection: Connection) -> None:
        idle = self._idle.setdefault(origin, deque())
        if not connection.usable or len(idle) >= IDLE_PER_ORIGIN:
            connection.abort()
            return
        connection.idle_since = self._clock.monotonic()
        idle.append(connection)

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().abort()

    def _context(self) -> ssl.SSLContext:
        # Reading the certificates takes 10 ms: only where a provider needs them.
        if self._encryption is None:
            self._encryption = ssl.create_default_context()
        return self._encryption


class Exchange:
    """One answer whose body is still to be read; ``close`` is owed, more than once is fine."""

    __slots__ = ("_connection", "_origin", "_pool", "_provider", "status")

    def __init__(
        self, connection: Connection, origin: Origin, pool: ConnectionPool, provider: str
    ) -> None:
        self._connection: Connection | None = connection
        self._origin = origin
        self._pool = pool
        self._provider = provider
        self.status = connection.status

    def header(self, name: bytes) -> bytes | None:
        """``name`` in lower case."""
        return self._open.header(name)

    async def read(self, seconds: float) -> bytes:
        """The whole body, in parts that come within ``seconds`` all together."""
        connection = self._open
        if connection.complete:
            return await connection.chunk(seconds)
        parts: list[bytes] = []
        size = 0
        end = asyncio.get_running_loop().time() + seconds
        while part := await connection.chunk(end - asyncio.get_running_loop().time()):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                raise UpstreamMalformed(
                    f"the answer of {self._provider} exceeds {LARGEST_ANSWER} bytes",
                    provider=self._provider,
                )
        return b"".join(parts)

    def chunk(self, seconds: float) -> Coroutine[None, None, bytes]:
        """The next bytes; empty at the end of the body. To be awaited at once."""
        return self._open.chunk(seconds)

    def close(self) -> None:
        """Give the connection back, or cut it when the answer did not come to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(self._origin, connection)

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("the exchange is closed")
        return self._connection


class Transport:
    """Requests to one base URL, with the same headers each."""

    def __init__(
        self,
        pool: ConnectionPool,
        base_url: str,
        *,
        provider: str,
        connect_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._connect_seconds = connect_seconds
        self._origin, self._base_path, host = _parse(base_url)
        lines = {"Host": host, "Accept-Encoding": "identity", **headers}
        # Set values are ours or an operator's; a line break would forge a header.
        self._lines = "".join(f"{name}: {_line(value)}\r\n" for name, value in lines.items())

    def head(self, method: str, path: str) -> bytes:
        """The constant part of a request's head: up to and with ``Content-Length:``."""
        start = f"{method} {self._base_path}{path} HTTP/1.1\r\n{self._lines}Content-Length: "
        return start.encode("latin-1")

    async def request(
        self, head: bytes, body: bytes, *, seconds: float, headers: bytes = b""
    ) -> Exchange:
        """Send a request; returns when its answer's head has arrived, within ``seconds``.

        ``headers`` are this request's own, each ended by a line break.
        """
        whole_head = b"%b%d\r\n%b\r\n" % (head, len(body), headers)
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = self._pool.take(self._origin)
        if connection is not None:
            try:
                return await self._ask(connection, whole_head, body, seconds)
            except UpstreamUnavailable:
                if not connection.untouched or loop.time() - began > STALE_SECONDS:
                    raise
                # Closed while idle, as good as always. A server that read the request and closed
                # without a byte looks the same, and gets it once more.
        left = max(0.0, seconds - (loop.time() - began))
        connection = await self._pool.connect(
            self._origin, self._provider, min(left, self._connect_seconds)
        )
        left = max(0.0, seconds - (loop.time() - began))
        return await self._ask(connection, whole_head, body, left)

    async def _ask(
        self, connection: Connection, head: bytes, body: bytes, seconds: float
    ) -> Exchange:
        connection.send(head, body, provider=self._provider)
        try:
            await connection.answered(seconds)
        except BaseException:
            connection.abort()
            raise
        return Exchange(connection, self._origin, self._pool, self._provider)


def _parse(base_url: str) -> tuple[Origin, str, str]:
    found = URL.fullmatch(base_url)
    if found is None:
        raise ValueError(f"{base_url!r} is no http or https address")
    encrypted = found["scheme"] == "https"
    port = int(found["port"] or (443 if encrypted else 80))
    host = found["host"] if found["port"] is None else f"{found['host']}:{found['port']}"
    name = found["host"].strip("[]")
    return Origin(name, port, encrypted), (found["path"] or "").rstrip("/"), host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _looked_up(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r:.80} is no name of a host") from exc
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _reason(error: OSError) -> str:
    """In the system's words; asyncio's and those of TLS and DNS are kept where it has none."""
    if isinstance(error, ssl.SSLError | socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _line(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise ValueError("a header value contains a line break")
    return value
