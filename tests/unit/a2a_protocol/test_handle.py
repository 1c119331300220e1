from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks.handle import HostedTask, Run
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from tests.fakes.a2a_tasks import ALICE, Desktop, journal_of


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desktop]:
    async with journal_of(database) as opened:
        yield opened


def task_of(desk: Desktop) -> HostedTask:
    run = Run(task_id="t1", agent_id="poet", began=0.0)
    return HostedTask(desk.journal, run, clock=SystemClock(), ids=Ids())


async def test_an_end_is_stored_when_it_returns(desk: Desktop) -> None:
    task = task_of(desk)
    assert (task.task_id, task.context_id, task.cancelled) == ("t1", "c1", False)
    await task.progress("on the way")
    await task.complete({"done": True})
    stored = await desk.store.whole("t1", ALICE)
    assert stored is not None
    assert stored.record.state is TaskState.COMPLETED
    assert len(stored.snapshot.history) == 3


async def test_chunks_belong_to_one_artifact_until_its_last(desk: Desktop) -> None:
    task = task_of(desk)
    await task.append("log", "a")
    await task.append("other", "1")
    await task.append("log", "b", last=True)
    await task.append("log", "c")
    await desk.journal.flush()
    made = list(desk.journal.snapshot.artifacts.values())
    assert [artifact["name"] for artifact in made] == ["log", "other", "log"]
    assert [len(str(artifact["parts"]).split("'text'")) - 1 for artifact in made] == [2, 1, 1]


async def test_after_the_end_there_is_nothing_to_say(desk: Desktop) -> None:
    task = task_of(desk)
    await task.ask("which?")
    for saying in (task.progress("x"), task.artifact("y", "z"), task.append("a", "b")):
        with pytest.raises(TaskEnded):
            await saying


async def test_a_cancelled_agent_is_not_heard(database: Database) -> None:
    async with journal_of(database) as desk:
        run = Run(task_id="t1", agent_id="poet", began=0.0, cancelled=True)
        task = HostedTask(desk.journal, run, clock=SystemClock(), ids=Ids())
        with pytest.raises(TaskEnded):
            await task.complete("all the same")
        await asyncio.wait_for(task.end(TaskState.CANCELED, None), 10)
        assert desk.journal.record.state is TaskState.CANCELED


async def test_what_was_shown_is_stored_with_the_task_at_once(desk: Desktop) -> None:
    task = task_of(desk)
    await task.shown({"version": 3})
    # A quick agent is shown its playbook before its first event is written.
    await task.progress("on the way")
    await task.shown({"version": 4})
    stored = await desk.store.whole("t1", ALICE)
    assert stored is not None
    assert stored.record.body["metadata"] == {"agentId": "poet", "playbook": {"version": 4}}
    assert stored.record.version == 3, "the second one went with the event that was waiting"
    await task.complete()
    with pytest.raises(TaskEnded):
        await task.shown({"version": 5})
