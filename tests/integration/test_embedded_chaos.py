"""Random kills while several processes write: what was acknowledged stays, nothing stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from agentcore.kit.embedded import open_embedded
from tests.unit.kit.embedded.homes import (
    processes_of,
    server_pid,
    used_home,
    wait_until,
    watchdog_pid,
)

WRITER = """
import asyncio, os, sys
from pathlib import Path

import asyncpg
import structlog

from agentcore.kit.embedded import open_embedded

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


async def write(url, acknowledged):
    connection = await asyncpg.connect(url, timeout=5)
    try:
        while True:
            insert = "INSERT INTO rows DEFAULT VALUES RETURNING n"
            row = await connection.fetchval(insert, timeout=5)
            os.write(acknowledged, b"%d\\n" % row)
    finally:
        connection.terminate()


async def main():
    acknowledged = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    async with open_embedded(Path(sys.argv[1])) as servers, asyncio.TaskGroup() as group:
        group.create_task(servers.keep_alive())
        while True:
            try:
                await write(servers.database_url.replace("+asyncpg", ""), acknowledged)
            except LOST:
                await asyncio.sleep(0.02)


asyncio.run(main())
"""


class Rampage:
    def __init__(self, home: Path, chance: random.Random) -> None:
        self._home = home
        self._chance = chance
        self._acknowledged = home.parent / "acknowledged"
        self._writers = [self._writer() for _ in range(3)]

    def acknowledged(self) -> set[int]:
        """The last line may be cut: its writer was killed while it wrote."""
        lines = self._acknowledged.read_text().split("\n")[:-1]
        return {int(line) for line in lines}

    def rage(self) -> None:
        attacks: list[Callable[[], None]] = [
            self._kill_a_writer,
            self._kill_all_writers,
            lambda: self._kill(server_pid(self._home, "postgres")),
            lambda: self._kill(server_pid(self._home, "valkey")),
            lambda: self._kill(watchdog_pid(self._home, "postgres")),
            lambda: self._kill(watchdog_pid(self._home, "valkey")),
            self._kill_anything,
        ]
        with suppress(OSError, ValueError):
            self._chance.choice(attacks)()
        time.sleep(self._chance.uniform(0, 0.4))

    def wait_for_a_write(self) -> None:
        before = self._size()
        wait_until(lambda: self._size() > before, "nobody can write any more", seconds=60)
        # A server whose watchdog and clients all die at once has nobody left to stop it.
        wait_until(self._is_watched, "a server is left without a watchdog")

    def _is_watched(self) -> bool:
        try:
            return all(watchdog_pid(self._home, name) for name in ("postgres", "valkey"))
        except ProcessLookupError:
            return False

    def end(self) -> None:
        for writer in self._writers:
            writer.kill()
            writer.wait()

    def _size(self) -> int:
        return self._acknowledged.stat().st_size if self._acknowledged.exists() else 0

    def _writer(self) -> subprocess.Popen[bytes]:
        arguments = [str(self._home), str(self._acknowledged)]
        return subprocess.Popen([sys.executable, "-c", WRITER, *arguments])

    def _kill_a_writer(self) -> None:
        victim = self._writers.pop(self._chance.randrange(3))
        victim.kill()
        victim.wait()
        self._writers.append(self._writer())

    def _kill_all_writers(self) -> None:
        self.end()
        time.sleep(self._chance.uniform(0, 0.2))
        self._writers = [self._writer() for _ in range(3)]

    def _kill_anything(self) -> None:
        writers = {writer.pid for writer in self._writers}
        if others := sorted(set(processes_of(self._home)) - writers):
            self._kill(self._chance.choice(others))

    def _kill(self, pid: int) -> None:
        """A note may name a process that is long gone, and its number anybody by now."""
        if pid in processes_of(self._home):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def home() -> Iterator[Path]:
    with used_home() as path:
        yield path


@pytest.mark.parametrize("rounds", [12])
async def test_no_acknowledged_write_is_lost_and_no_process_left(home: Path, rounds: int) -> None:
    async with open_embedded(home) as servers:
        connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
        await connection.execute("CREATE TABLE rows (n bigserial PRIMARY KEY)")
        await connection.close()
    rampage = Rampage(home, random.Random(rounds))
    try:
        for _ in range(rounds):
            rampage.rage()
        rampage.wait_for_a_write()
        wait_until(lambda: len(rampage.acknowledged()) > rounds, "hardly anything was written", 60)
    finally:
        rampage.end()
    wait_until(lambda: not processes_of(home), "a process was left behind")
    async with open_embedded(home) as servers:
        connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
        kept = {row["n"] for row in await connection.fetch("SELECT n FROM rows")}
        await connection.close()
    assert rampage.acknowledged() <= kept
