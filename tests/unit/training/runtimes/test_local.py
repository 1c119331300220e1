"""The local runtime's own promises; what it shares with others is tests/contracts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from agentcore.training.openenv.errors import DeploymentFailed, RuntimeUnavailable
from agentcore.training.openenv.runtimes import identity
from agentcore.training.openenv.runtimes.local import GONE
from agentcore.training.openenv.runtimes.records import Record, ReplicaState, State
from tests.contracts.environment_runtimes.harness import SMALL, ask, deploy
from tests.contracts.environment_runtimes.local_harness import LocalHarness, local_harness
from tests.fakes.deployment import processes_of, wait_until


@pytest.fixture
async def harness() -> AsyncIterator[LocalHarness]:
    async with local_harness() as opened:
        yield opened


async def pid_behind(connection: socket.socket) -> str:
    return await asyncio.to_thread(_pid_behind, connection)


def _pid_behind(connection: socket.socket) -> str:
    connection.sendall(b"GET /who HTTP/1.1\r\n\r\n")
    return connection.recv(4096).rpartition(b"\r\n")[2].decode()


def connection_to(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=100)


async def test_sessions_of_a_replica_that_goes_play_on_until_they_end(
    harness: LocalHarness,
) -> None:
    two = await deploy(harness, "echo", replicas=2)
    with connection_to(two.url) as first, connection_to(two.url) as second:
        pids = {await pid_behind(first), await pid_behind(second)}
        assert pids == set(await harness.replicas("echo"))
        await deploy(harness, "echo", version="2.0.0", replicas=1)
        assert await pid_behind(first) in pids
        assert await pid_behind(second) in pids
        assert await ask(two, "/who") not in pids
        roles = [each.role for each in harness.state("echo").replicas]
        assert sorted(roles) == ["fresh", "retiring", "retiring"]
    wait_until(lambda: len(harness.state("echo").replicas) == 1, "the old ones are gone")


async def test_a_folder_that_cannot_be_written_is_named(harness: LocalHarness) -> None:
    folder = harness.home / "deployments"
    folder.mkdir()
    (folder / "echo").write_text("no folder")
    with pytest.raises(RuntimeUnavailable, match=r"echo cannot be changed: .*deployments/echo"):
        await deploy(harness, "echo")


async def test_draining_has_an_end(harness: LocalHarness) -> None:
    deployed = await deploy(harness, "echo")
    with connection_to(deployed.url) as session:
        old = await pid_behind(session)
        runtime = harness.runtime(drain_seconds=0.1)
        await runtime.deploy(harness.spec("echo", version="2.0.0"), replicas=1, resources=SMALL)
        assert session.recv(10) == b""
    wait_until(lambda: not identity.born(int(old)), "the old replica is gone")


async def test_a_killed_keeper_is_noticed_and_replaced(harness: LocalHarness) -> None:
    before = await deploy(harness, "echo", replicas=2)
    orphans = await harness.replicas("echo")
    harness.kill_keeper("echo")
    [found] = await harness.runtime().list_deployed()
    assert (found.status, found.ready, found.detail) == ("failed", 0, GONE)
    after = await deploy(harness, "echo", replicas=2)
    assert after == before
    assert not set(orphans) & set(await harness.replicas("echo"))
    assert len(processes_of(harness.home)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the end")
async def test_replicas_end_with_a_killed_keeper(harness: LocalHarness) -> None:
    await deploy(harness, "echo", replicas=2)
    harness.kill_keeper("echo")
    wait_until(lambda: not processes_of(harness.home), "the replicas are gone")


@pytest.mark.parametrize("folder", ["deployments", "locks"])
async def test_what_nobody_can_find_any_more_ends(harness: LocalHarness, folder: str) -> None:
    await deploy(harness, "echo", replicas=2)
    shutil.rmtree(harness.home / folder)
    wait_until(lambda: not processes_of(harness.home), "the keeper and its replicas are gone")


async def test_what_a_killed_keeper_left_can_be_undeployed(harness: LocalHarness) -> None:
    await deploy(harness, "echo", "stubborn")
    harness.kill_keeper("echo")
    await harness.runtime().undeploy("echo")
    assert await harness.leftovers() == []


async def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(harness: LocalHarness) -> None:
    """As after a restart of the machine: the numbers of the record belong to others."""
    await deploy(harness, "echo")
    real = harness.state("echo")
    harness.kill_keeper("echo")
    with suppress(ProcessLookupError):
        os.kill(real.replicas[0].pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(harness.home), "all are gone")
    bystander = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    stale = ReplicaState(
        slot=1, pid=bystander.pid, born="1", role="fresh", ready=True, exits=0, detail=""
    )
    Record(harness.home / "deployments" / "echo").note(
        State(port=real.port, generation=1, replicas=(stale,))
    )
    assert [each.status for each in await harness.runtime().list_deployed()] == ["failed"]
    again = await deploy(harness, "echo")
    assert again.status == "running"
    await harness.runtime().undeploy("echo")
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_record_that_cannot_be_read_does_not_block_the_name(harness: LocalHarness) -> None:
    await deploy(harness, "echo")
    folder = harness.home / "deployments" / "echo"
    (folder / "state.json").write_text("{")
    (folder / "wanted.json").write_text("")
    assert await harness.runtime().list_deployed() == []
    assert (await deploy(harness, "echo", replicas=2)).ready == 2
    (folder / "wanted.json").write_text("")
    await harness.runtime().undeploy("echo")
    assert await harness.leftovers() == []


async def test_the_logs_of_what_is_gone_are_kept(harness: LocalHarness) -> None:
    with pytest.raises(DeploymentFailed) as failed:
        await deploy(harness, "broken", "exit")
    assert "env-broken-1.log" in failed.value.hint
    await harness.runtime().undeploy("broken")
    log = Path(f"{harness.runtime().log('broken')}-1.log")
    assert log.read_text().count("reading the configuration") >= 3


async def test_a_program_that_is_not_there_is_named(harness: LocalHarness) -> None:
    harness.interpreter = "/nowhere/serve"
    with pytest.raises(DeploymentFailed, match="/nowhere/serve cannot be run: No such file"):
        await deploy(harness, "echo")


async def test_deployments_outlive_the_process_that_made_them(harness: LocalHarness) -> None:
    """The keeper is nobody's child: neither a signal to the group nor the parent's end reach it."""
    await deploy(harness, "echo")
    keeper = harness.keeper("echo")
    assert os.getsid(keeper) != os.getsid(0)
    assert os.getpgid(keeper) != os.getpgid(0)
