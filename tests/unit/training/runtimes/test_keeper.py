from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.runtimes import keeper as module
from agentcore.training.openenv.runtimes.keeper import Keeper, next_step
from agentcore.training.openenv.runtimes.records import Record, ReplicaState
from tests.fakes.waiting import eventually
from tests.fakes.wanted_replicas import wanted_of


@given(
    ready=st.integers(0, 6), starting=st.integers(0, 6), stale=st.integers(0, 6),
    wanted=st.integers(1, 6),
)  # fmt: skip
def test_steps_arrive_and_never_serve_less_than_there_was_or_is_wanted(
    ready: int, starting: int, stale: int, wanted: int
) -> None:
    enough = min(wanted, ready + stale)
    most = max(ready + starting + stale, wanted + 1)
    for _ in range(100):
        step = next_step(ready=ready, starting=starting, stale=stale, wanted=wanted)
        if step == "start":
            starting += 1
        elif step == "retire stale":
            stale -= 1
        elif step == "retire fresh":
            # The keeper retires what does not serve first.
            starting, ready = (starting - 1, ready) if starting else (starting, ready - 1)
        elif starting:
            starting, ready = starting - 1, ready + 1
        else:
            break
        assert min(ready, starting, stale) >= 0
        assert ready + stale >= enough
        assert ready + starting + stale <= most
    assert (ready, starting, stale) == (wanted, 0, 0)


def test_a_replica_that_never_serves_takes_no_old_one_away() -> None:
    assert next_step(ready=0, starting=1, stale=2, wanted=2) is None
    assert next_step(ready=1, starting=0, stale=2, wanted=2) == "retire stale"
    assert next_step(ready=1, starting=0, stale=1, wanted=2) == "start"


async def test_a_record_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    record = Record(tmp_path / "echo")
    record.want(wanted_of("serve"))
    state = record.folder / "state.json"
    state.mkdir()
    with (tmp_path / "lock").open("wb") as lock:
        keeper = Keeper(record, str(tmp_path / "log"), lock.fileno())
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run(0))
            await eventually((tmp_path / "log-1.log").exists)
            # What it could not write, as on a full disk, it writes when there is room.
            state.rmdir()
            await eventually(lambda: [each for each in replicas(record) if each.ready])
            keeper.stop()


def replicas(record: Record) -> tuple[ReplicaState, ...]:
    state = record.state()
    return () if state is None else state.replicas
