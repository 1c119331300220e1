"""kill -9 of everything, stale and lying pid files: the next look recovers by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agentcore.a2a_protocol.push import sender
from agentcore.a2a_protocol.remote import withdrawals
from agentcore.ace import evolution, evolution_worker
from agentcore.ace.content import Draft
from agentcore.ace.errors import EvolutionQueueFull
from agentcore.ace.models import ACEConfig, ExecutionTrace
from agentcore.kit import supervisor
from agentcore.kit.cache import open_cache
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import StorageUnavailable, open_database
from agentcore.kit.embedded import EmbeddedServers, open_embedded, status
from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.models import CacheConfig, DatabaseConfig
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import a2a, principal
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import ScriptedModel
from tests.fakes.waiting import eventually, in_time
from tests.unit.kit.embedded.homes import (
    client,
    processes_of,
    server_pid,
    used_home,
    wait_until,
    watchdog_pid,
)

# On a busy machine it may have to begin without its server.
HASTY = CacheConfig(timeout=0.2, required=False)


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


async def test_agents_and_tasks_wait_for_a_killed_database(
    home: Path, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says so once, in a line, and goes on when it is back."""
    for module in (sender, withdrawals):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.1)
    names = {"a2a-agents", "a2a-agent-health", "a2a-push", "a2a-withdrawals"}
    metrics = CollectorRegistry()
    with capture_logs() as logs:
        async with (
            open_database(DatabaseConfig(pool_size=5), servers.database_url) as database,
            a2a(database, clock=Impatient(), registry=metrics) as runtime,
        ):
            await runtime.agents.ensure("poet", principal())
            kill(server_pid(home, "postgres"))
            await eventually(lambda: names <= {each.get("task") for each in logs})
            await servers.revive()
            labels = {"status": "active", "health": "unknown"}
            await eventually(lambda: metrics.get_sample_value("a2a_agents", labels))
    told = [each["event"] for each in logs if each.get("task") in names]
    assert told == ["background task waits"] * len(names)


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

        async def start(seconds: float) -> None:
            with pytest.raises(StartupError, match=r" s: pre-existing shared memory block"):
                async with open_embedded(home, start_seconds=seconds):
                    pytest.fail("the data folder is in use")

        await in_time(start, 0.6)
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
        # It may be back before anybody has looked.
        while not await _is_waited_for(home, servers):
            pass
        assert await run(servers, "SELECT count(*) FROM bulk") == 300000
        await run(servers, "DROP TABLE bulk")


async def _is_waited_for(home: Path, servers: EmbeddedServers) -> bool:
    await run(servers, "DROP TABLE IF EXISTS bulk")
    # In one statement with its table, minimal logging would leave nothing to recover.
    await run(servers, "CREATE TABLE bulk (n int)")
    await run(servers, "INSERT INTO bulk SELECT generate_series(1, 300000)")
    kill(server_pid(home, "postgres"))
    async with asyncio.TaskGroup() as group:
        again = group.create_task(servers.revive())
        while not again.done():
            if (startup := _process_named(home, "postgres: startup")) is not None:
                os.kill(startup, signal.SIGSTOP)
                await asyncio.sleep(0.4)
                assert not again.done()
                assert {s.name: s.state for s in status(home)}["postgres"] == "busy"
                os.kill(startup, signal.SIGCONT)
                return True
            await asyncio.sleep(0.002)
    return False


def _process_named(home: Path, title: str) -> int | None:
    """A child of the home's postmaster."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            named = (folder / "cmdline").read_bytes().startswith(title.encode())
            if named and (folder / "cwd").readlink() == home / "postgres":
                return int(folder.name)
    return None


class Impatient(SystemClock):
    """Pauses of seconds are over at once: the servers' own return is what takes time here."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


def kill_ready(home: Path, name: str) -> None:
    """Not before it is back from the last time."""

    def is_ready() -> bool:
        return any(server.name == name and server.state == "ready" for server in status(home))

    wait_until(is_ready, f"{name} did not come back")
    kill(server_pid(home, name))


async def until_acknowledged(world: ContextWorld, trace: ExecutionTrace) -> None:
    """As a caller does who was told to repeat it."""
    while True:
        try:
            await world.contexts.capture_execution_trace(trace.agent_id, trace)
        except StorageUnavailable:
            await asyncio.sleep(0.01)
        else:
            return


async def test_evolutions_go_on_through_restarts_of_both_servers(
    home: Path, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trace that was acknowledged is lost, and none counts twice."""
    monkeypatch.setattr(evolution_worker, "RESCAN_SECONDS", 0.05)
    # A claim that could not even be given back while the database was away.
    monkeypatch.setattr(evolution, "LEASE", timedelta(seconds=2))
    agents, each = ("a", "b", "c"), 20
    config = ACEConfig(
        ace_min_traces_for_evolution=1,
        ace_evolution_interval=3,
        ace_worker_batch_timeout=0.02,
        ace_cb_recovery_timeout=1,
    )
    clock, model = Impatient(), ScriptedModel(delay=0.01)
    async with (
        Supervisor() as owner,
        open_database(DatabaseConfig(pool_size=5), servers.database_url) as database,
        open_cache(HASTY, servers.redis_url, owner) as cache,
    ):
        owner.start("servers", servers.keep_alive)
        world = ContextWorld(database, cache, owner, clock, config, model)  # type: ignore[arg-type]  # only asked for the time
        stamps: dict[str, JsonObject] = {}
        for agent_id in agents:
            made = await world.contexts.create_playbook(agent_id, {}, principal=ALICE)
            rule: JsonObject = {"op": "ADD", "section": "checks", "text": "Check twice."}
            await world.taught(rule, agent_id=agent_id, delta_id=f"first of {agent_id}")
            stamps[agent_id] = world.stamp_of(made.playbook_id, "b1")
        await world.worker.start()
        for number in range(each):
            if number in {5, 13}:
                await asyncio.to_thread(kill_ready, home, "postgres")
            if number in {9, 13}:
                await asyncio.to_thread(kill_ready, home, "valkey")
            for agent_id in agents:
                trace = world.trace(success=True, agent_id=agent_id, metadata=stamps[agent_id])
                await until_acknowledged(world, trace)

        async def counted(agent_id: str) -> int:
            with suppress(StorageUnavailable):
                playbook = await world.contexts.get_playbook(agent_id)
                (place,) = Draft.of(playbook.content).bullets()
                return place.bullet.helpful
            return 0

        for agent_id in agents:
            async with asyncio.timeout(100):
                while await counted(agent_id) < each:
                    with suppress(StorageUnavailable, EvolutionQueueFull):
                        await world.contexts.trigger_evolution(agent_id)
                    await asyncio.sleep(0.05)
        assert [await counted(agent_id) for agent_id in agents] == [each] * len(agents)
        status = [await world.contexts.evolution_status(agent_id) for agent_id in agents]
        assert [one.pending_traces for one in status] == [0] * len(agents)
        await world.worker.stop()
