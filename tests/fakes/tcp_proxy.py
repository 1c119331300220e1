"""A line to PostgreSQL that a test can cut: real server, real socket, unreliable middle."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url


class TcpProxy:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._folder = Path(tempfile.mkdtemp(prefix="ac-proxy-"))
        self._writers: set[asyncio.StreamWriter] = set()
        self._trigger = b""
        self.refuse = False
        self.forge = (b"", b"")
        """What to find in the server's answers, and what of the same length to put there."""

    @classmethod
    @asynccontextmanager
    async def to_postgres(cls, url: str) -> AsyncIterator[TcpProxy]:
        folder = make_url(url).query["host"]
        proxy = cls(f"{folder}/.s.PGSQL.5432")
        server = await asyncio.start_unix_server(proxy._serve, proxy._folder / ".s.PGSQL.5432")
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            shutil.rmtree(proxy._folder, ignore_errors=True)

    def database_url(self, name: str) -> str:
        return f"postgresql+asyncpg://agentcore@/{name}?host={self._folder}"

    def cut(self) -> None:
        """Drop every open connection without a word."""
        for writer in self._writers:
            writer.transport.abort()

    def cut_on(self, sent: bytes) -> None:
        """Drop the connection that sends these bytes, before the server sees them."""
        self._trigger = sent

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        self._writers |= {writer, up_writer}
        with suppress(ConnectionError):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pipe(reader, up_writer, watched=True))
                group.create_task(self._pipe(up_reader, writer, watched=False))

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watched: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if watched and self._trigger and self._trigger in data:
                    self.cut()
                    return
                writer.write(data if watched else data.replace(*self.forge))
                await writer.drain()
        writer.close()
