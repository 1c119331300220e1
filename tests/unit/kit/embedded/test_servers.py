from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentcore.kit.embedded import EmbeddedServers, open_embedded, status
from agentcore.kit.errors import StartupError
from tests.fakes.waiting import eventually
from tests.unit.kit.embedded.homes import (
    client,
    processes_of,
    server_pid,
    wait_until,
    watchdog_pid,
)

# What matters of that system here: its name, and that these modules do not exist.
WINDOWS = """
import asyncio, sys
from pathlib import Path

import structlog

sys.platform = "win32"
for name in ("fcntl", "pwd"):
    sys.modules[name] = None

from agentcore.kit.embedded import open_embedded, status, stop
from agentcore.kit.errors import StartupError


async def main():
    async with open_embedded(Path(sys.argv[1]), database=False) as servers:
        print(servers.redis_url, servers.degraded)
        await servers.revive()
    try:
        async with open_embedded(Path(sys.argv[1])):
            print("opened")
    except StartupError as error:
        print(error.detail, error.hint)
    stop(Path(sys.argv[1]))
    print(status(Path(sys.argv[1])))


asyncio.run(main())
"""


@pytest.fixture
async def cache_only(home: Path) -> AsyncIterator[EmbeddedServers]:
    async with open_embedded(home, database=False) as servers:
        yield servers


async def answers(url: str | None) -> bool:
    assert url is not None
    async with Redis.from_url(url) as redis:
        return bool(await redis.ping())


def is_ready(home: Path) -> bool:
    return status(home)[1].state == "ready"


async def test_only_what_is_asked_for_runs(home: Path, cache_only: EmbeddedServers) -> None:
    assert cache_only.database_url == ""
    assert cache_only.degraded == ""
    assert await answers(cache_only.redis_url)
    assert not (home / "postgres").exists()


async def test_who_joins_gets_the_same(home: Path, cache_only: EmbeddedServers) -> None:
    async with open_embedded(home, database=False) as servers:
        assert servers == cache_only


async def test_the_last_of_several_openings_counts(home: Path) -> None:
    async with open_embedded(home, database=False) as outer:
        async with open_embedded(home, database=False):
            pass
        await asyncio.sleep(0.1)
        assert await answers(outer.redis_url)
    wait_until(lambda: not processes_of(home), "a process was left behind")


async def test_a_missing_cache_is_a_reason_and_not_a_failure(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    async with open_embedded(home, database=False) as servers:
        assert servers.redis_url is None
        assert servers.degraded.startswith("no embedded Valkey is installed for")
        await servers.revive()


async def test_a_missing_database_is_a_failure_and_stops_the_cache(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(StartupError, match="no embedded PostgreSQL is installed"):
        async with open_embedded(home):
            pytest.fail("nothing to open")
    wait_until(lambda: not processes_of(home), "a process was left behind")


async def test_a_killed_server_and_a_killed_watchdog_are_replaced(
    home: Path, cache_only: EmbeddedServers
) -> None:
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(cache_only.keep_alive())
        first = server_pid(home, "valkey")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: is_ready(home) and server_pid(home, "valkey") != first)
        second = server_pid(home, "valkey")
        guard = watchdog_pid(home, "valkey")
        os.kill(guard, signal.SIGKILL)
        await eventually(lambda: any("adopt" in args for args in processes_of(home).values()))
        assert server_pid(home, "valkey") == second
        assert await answers(cache_only.redis_url)
        keeping.cancel()


async def test_revive_returns_when_the_server_answers_again(
    home: Path, cache_only: EmbeddedServers
) -> None:
    os.kill(server_pid(home, "valkey"), signal.SIGKILL)
    await cache_only.revive()
    assert await answers(cache_only.redis_url)


async def test_a_cancelled_opening_leaves_nothing(home: Path) -> None:
    for delay in (0.0, 0.005, 0.02, 0.05):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(delay), open_embedded(home, database=False):
                await asyncio.sleep(5)
        wait_until(lambda: not processes_of(home), "a process was left behind")


def test_clients_share_the_server_and_it_outlives_each_but_the_last(home: Path) -> None:
    with client(home, database=False) as first, client(home, database=False) as second:
        assert first.answer() == second.answer()
        pid = server_pid(home, "valkey")
        first.close()
        time.sleep(0.1)
        assert server_pid(home, "valkey") == pid
        assert pid in processes_of(home)
        second.kill()
        wait_until(lambda: not processes_of(home), "a process was left behind")


def test_a_system_without_such_servers_runs_degraded(home: Path) -> None:
    said = subprocess.check_output([sys.executable, "-c", WINDOWS, str(home)], text=True)
    assert said.splitlines() == [
        "None embedded servers need Linux or macOS",
        "embedded servers need Linux or macOS set AGENTCORE_DATABASE_URL",
        "()",
    ]
