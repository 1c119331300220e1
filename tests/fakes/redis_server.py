"""A real Valkey of one test's own, to be stopped and killed at will."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentcore.kit.embedded.binaries import valkey_binary


@dataclass(frozen=True, slots=True)
class RedisServer:
    pid: int
    url: str

    @classmethod
    @asynccontextmanager
    async def running(cls, password: str = "") -> AsyncIterator[RedisServer]:
        folder = Path(tempfile.mkdtemp(prefix="ac-redis-"))
        socket = folder / "s"
        arguments = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
        if password:
            arguments += ["--requirepass", password]
        process = await asyncio.create_subprocess_exec(
            str(valkey_binary()), *arguments, "--save", "", stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(100):
                await _listening(socket)
            yield cls(process.pid, f"unix://{socket}")
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            shutil.rmtree(folder, ignore_errors=True)


async def _listening(socket: Path) -> None:
    """The file is there a moment before anybody may connect to it."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        await writer.wait_closed()
        return
