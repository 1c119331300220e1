from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree

import pytest

from agentcore.training.openenv.runtimes import identity
from agentcore.training.openenv.runtimes import replica as module
from agentcore.training.openenv.runtimes.replica import Replica, is_healthy, last_words
from tests.fakes.environment_program import REASON
from tests.fakes.wanted_replicas import wanted_of


@asynccontextmanager
async def kept(behaviour: str, log: Path) -> AsyncIterator[tuple[Replica, asyncio.Event]]:
    changed = asyncio.Event()
    replica = Replica(1, wanted_of(behaviour), log, changed.set)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(replica.keep())
        yield replica, changed
        keeping.cancel()


async def until(changed: asyncio.Event, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            changed.clear()
            await changed.wait()


async def test_it_serves_dies_and_serves_again_on_another_process(tmp_path: Path) -> None:
    async with kept("serve", tmp_path / "log") as (replica, changed):
        await until(changed, lambda: replica.ready)
        first = replica.state("fresh")
        assert await is_healthy(replica.port)
        assert first.pid
        assert first.born
        os.killpg(first.pid, signal.SIGKILL)
        await until(changed, lambda: replica.state("fresh").exits)
        assert replica.state("fresh").detail == "ended by SIGKILL: it said nothing"
        assert replica.failing
        await until(changed, lambda: replica.ready)
        assert replica.state("fresh").pid != first.pid
        assert (replica.state("fresh").exits, replica.state("fresh").detail) == (0, "")
        port = replica.port
    assert not await is_healthy(port)


async def test_it_counts_ends_without_ever_serving(tmp_path: Path) -> None:
    async with kept("exit", tmp_path / "log") as (replica, changed):
        await until(changed, lambda: replica.state("fresh").exits == 2)
        assert replica.state("fresh").detail == f"ended with code 1: error: {REASON}"


async def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    seconds, module.STOP_SECONDS = module.STOP_SECONDS, 0.05
    try:
        async with kept("stubborn", tmp_path / "log") as (replica, changed):
            await until(changed, lambda: replica.ready)
            pid = replica.state("fresh").pid
    finally:
        module.STOP_SECONDS = seconds
    assert not identity.born(pid)


async def test_a_full_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (module.LARGEST_LOG + 1))
    async with kept("exit", log) as (replica, changed):
        await until(changed, lambda: replica.state("fresh").exits)
    assert log.stat().st_size < 1000
    assert (tmp_path / "log.old").stat().st_size > module.LARGEST_LOG


def test_the_last_words_are_those_of_this_life_and_of_a_refusal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    assert last_words(log, 4) == "it said nothing"
    log.write_text("old\nstarting\nagentcore: the port is taken\n  hint: another one\n")
    assert last_words(log, 4) == "the port is taken"
    log.write_text("old\nTraceback\n  File x\nImportError: no numpy\n\n")
    assert last_words(log, 0) == "ImportError: no numpy"


async def test_a_log_that_was_tidied_away_ends_nothing(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    async with kept("serve", log) as (replica, changed):
        await until(changed, lambda: replica.ready)
        rmtree(log.parent)
        os.killpg(replica.state("fresh").pid, signal.SIGKILL)
        await until(changed, lambda: replica.state("fresh").exits)
        said = "its log cannot be read: No such file or directory"
        assert replica.state("fresh").detail == f"ended by SIGKILL: {said}"
        await until(changed, lambda: replica.ready)


async def test_a_log_that_grows_under_its_process_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_LOG", 1000)
    monkeypatch.setattr(module, "KEPT_LOG", 10)
    log = tmp_path / "log"
    async with kept("serve", log) as (replica, changed):
        await until(changed, lambda: replica.ready)
        with log.open("ab") as talkative:
            talkative.write(b"x" * 1500 + b"the end")
            talkative.flush()
            replica.tidy()
            assert (tmp_path / "log.old").read_bytes() == b"xxxthe end"
            talkative.write(b"agentcore: last words\n")
        os.killpg(replica.state("fresh").pid, signal.SIGKILL)
        await until(changed, lambda: replica.state("fresh").exits)
        assert replica.state("fresh").detail == "ended by SIGKILL: last words"
