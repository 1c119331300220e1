"""kill -9 of everything, stale and lying pid files: the next look recovers by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from agentcore.kit.embedded import EmbeddedServers, open_embedded, status
from agentcore.kit.errors import StartupError
from tests.unit.kit.embedded.homes import (
    client,
    processes_of,
    server_pid,
    used_home,
    wait_until,
    watchdog_pid,
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Shared: every test finds what the kills of the one before left."""
    with used_home() as path:
        yield path


@pytest.fixture
async def servers(home: Path) -> AsyncIterator[EmbeddedServers]:
    async with open_embedded(home) as running:
        await run(running, "CREATE TABLE IF NOT EXISTS rows (n int)")
        await run(running, "TRUNCATE rows")
        yield running


async def run(servers: EmbeddedServers, statement: str) -> object:
    connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def are_replaced(home: Path, pids: Mapping[str, int]) -> bool:
    return all(
        server.state == "ready" and server.pid not in {None, pids[server.name]}
        for server in status(home)
    )


def dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_a_killed_postmaster_loses_nothing_acknowledged(
    home: Path, servers: EmbeddedServers
) -> None:
    await run(servers, "INSERT INTO rows SELECT generate_series(1, 1000)")
    kill(server_pid(home, "postgres"))
    async with open_embedded(home) as again:
        assert await run(again, "SELECT count(*) FROM rows") == 1000


async def test_keep_alive_brings_both_servers_back(home: Path, servers: EmbeddedServers) -> None:
    await run(servers, "INSERT INTO rows VALUES (1)")
    pids = {name: server_pid(home, name) for name in ("postgres", "valkey")}
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(servers.keep_alive())
        for pid in pids.values():
            kill(pid)
        await asyncio.to_thread(wait_until, lambda: are_replaced(home, pids), "nothing came back")
        assert await run(servers, "SELECT count(*) FROM rows") == 1
        keeping.cancel()


async def test_backends_that_outlive_their_postmaster_are_waited_for(
    home: Path, servers: EmbeddedServers
) -> None:
    """Two servers on one data folder would destroy it; PostgreSQL refuses, and that is awaited."""
    await run(servers, "INSERT INTO rows VALUES (1), (2)")
    connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        kill(server_pid(home, "postgres"))
        with pytest.raises(StartupError, match=r"within 0.6 s: pre-existing shared memory block"):
            async with open_embedded(home, start_seconds=0.6):
                pytest.fail("the data folder is in use")
    finally:
        os.kill(backend, signal.SIGCONT)
    async with open_embedded(home) as again:
        assert await run(again, "SELECT count(*) FROM rows") == 2
    connection.terminate()


async def test_killed_watchdogs_are_replaced_and_still_stop_the_servers(home: Path) -> None:
    with client(home, keep_alive=True) as other:
        other.answer()
        pids = {name: server_pid(home, name) for name in ("postgres", "valkey")}
        for name in pids:
            kill(watchdog_pid(home, name))
        wait_until(
            lambda: sum("adopt" in args for args in processes_of(home).values()) == 2,
            "the servers were not adopted",
        )
        assert {server.name: server.pid for server in status(home)} == pids
        other.kill()
        wait_until(lambda: not processes_of(home), "a process was left behind")


async def test_servers_without_clients_and_watchdogs_are_taken_over(home: Path) -> None:
    with client(home) as other:
        other.answer()
        postmaster = server_pid(home, "postgres")
        for name in ("postgres", "valkey"):
            kill(watchdog_pid(home, name))
        other.kill()
    assert {(server.state, server.in_use) for server in status(home)} == {("ready", False)}
    async with open_embedded(home) as servers:
        assert await run(servers, "SELECT 1") == 1
        assert server_pid(home, "postgres") == postmaster
    wait_until(lambda: not processes_of(home), "a process was left behind")


async def test_a_crash_of_everything_at_once_is_survived(home: Path) -> None:
    async with open_embedded(home) as servers:
        await run(servers, "CREATE TABLE IF NOT EXISTS rows (n int)")
        await run(servers, "TRUNCATE rows")
        await run(servers, "INSERT INTO rows VALUES (1), (2), (3)")
        pids = [pid for pid in processes_of(home) if pid != os.getpid()]
        for pid in pids:
            kill(pid)
        wait_until(lambda: all(dead(pid) for pid in pids), "a killed process still runs")
        async with open_embedded(home) as again:
            assert await run(again, "SELECT count(*) FROM rows") == 3
            assert again.redis_url is not None


@pytest.mark.parametrize("note", ["postgres/postmaster.pid", "run/.s.PGSQL.5432.lock"])
async def test_a_pid_file_that_names_somebody_else_misleads_nobody(home: Path, note: str) -> None:
    """A restarted container gives the old number to any process; it must not be signalled."""
    async with open_embedded(home):
        content = (home / note).read_text().split("\n", 1)[1]
        for name in ("postgres", "valkey"):
            kill(watchdog_pid(home, name))
            kill(server_pid(home, name))
    wait_until(lambda: not processes_of(home), "a killed process still runs")
    with subprocess.Popen(["/bin/sleep", "60"]) as foreign:
        (home / note).write_text(f"{foreign.pid}\n{content}")
        for name in ("postgres", "valkey"):
            (home / "locks" / f"{name}.alive").write_text(f"{foreign.pid}\n")
        async with open_embedded(home) as servers:
            assert await run(servers, "SELECT 1") == 1
            assert servers.redis_url is not None
        wait_until(lambda: not processes_of(home), "a process was left behind")
        assert foreign.poll() is None
        foreign.kill()


async def test_an_unreaped_postmaster_does_not_count_as_running(home: Path) -> None:
    async with open_embedded(home):
        pass
    wait_until(lambda: not processes_of(home), "a process was left behind")
    with subprocess.Popen(["/bin/sleep", "60"]) as zombie:
        zombie.kill()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        (home / "postgres" / "postmaster.pid").write_text(f"{zombie.pid}\n{home}/postgres\n")
        async with open_embedded(home) as servers:
            assert await run(servers, "SELECT 1") == 1


async def test_a_start_goes_on_as_long_as_the_server_recovers(home: Path) -> None:
    """Stopping the recovery process stands for a log that takes long to read back."""
    async with open_embedded(home) as servers:
        await run(servers, "DROP TABLE IF EXISTS bulk")
        # In one statement with its table, minimal logging would leave nothing to recover.
        await run(servers, "CREATE TABLE bulk (n int)")
        await run(servers, "INSERT INTO bulk SELECT generate_series(1, 300000)")
        kill(server_pid(home, "postgres"))
        async with asyncio.TaskGroup() as group:
            again = group.create_task(servers.revive())
            startup = await _process_named(home, "postgres: startup")
            os.kill(startup, signal.SIGSTOP)
            await asyncio.sleep(0.4)
            assert not again.done()
            assert {s.name: s.state for s in status(home)}["postgres"] == "busy"
            os.kill(startup, signal.SIGCONT)
        assert await run(servers, "SELECT count(*) FROM bulk") == 300000
        await run(servers, "DROP TABLE bulk")


async def _process_named(home: Path, title: str) -> int:
    """A child of the home's postmaster."""
    async with asyncio.timeout(30):
        while True:
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    named = (folder / "cmdline").read_bytes().startswith(title.encode())
                    if named and (folder / "cwd").readlink() == home / "postgres":
                        return int(folder.name)
            await asyncio.sleep(0.002)
