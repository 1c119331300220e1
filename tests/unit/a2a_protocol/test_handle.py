from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.models.handover import EXTENSION, NOTHING_SPENT, SPENT, Spent
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks.handle import HostedTask, Run
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, loads, object_of
from tests.fakes.a2a_tasks import ALICE, Desktop, journal_of, record


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desktop]:
    async with journal_of(database) as opened:
        yield opened


class Below:
    """What others have cost that worked for a task; ``away`` is a database that is not there."""

    def __init__(self, spent: Spent, *, away: bool = False) -> None:
        self.spent = spent
        self.away = away

    async def below(self, task_id: str, tenant: str) -> Spent:
        if self.away:
            raise StorageUnavailable("away")
        return self.spent


def task_of(
    desk: Desktop, below: Below | None = None, *, cancelled: bool = False, budget: str = "9"
) -> HostedTask:
    run = Run(task_id="t1", agent_id="poet", began=0.0, cancelled=cancelled)
    run.budget_usd = Decimal(budget)
    return HostedTask(
        desk.journal,
        run,
        spending=below or Below(NOTHING_SPENT),
        clock=SystemClock(),
        ids=Ids(),
    )


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
        task = task_of(desk, cancelled=True)
        with pytest.raises(TaskEnded):
            await task.complete("all the same")
        await asyncio.wait_for(task.end(TaskState.CANCELED, None), 60)
        assert desk.journal.record.state is TaskState.CANCELED


COST: JsonObject = {"cost_usd": "0.75", "tokens": 10}


@pytest.mark.parametrize(
    ("handed_on", "below", "told"),
    [
        (True, Below(NOTHING_SPENT), {"cost_usd": "0.25", "tokens": 7}),
        (True, Below(Spent(cost_usd=Decimal("0.5"), tokens=3)), COST),
        (True, Below(NOTHING_SPENT, away=True), {"cost_usd": "0.25", "tokens": 7}),
        (False, Below(Spent(tokens=3)), None),
    ],
)
async def test_who_has_handed_on_a_task_is_told_its_cost(
    database: Database, handed_on: bool, below: Below, told: JsonObject | None
) -> None:
    head = record()
    metadata: JsonObject = {"agentId": "poet", **({EXTENSION: {}} if handed_on else {})}
    async with journal_of(database, made=record(body={**head.body, "metadata": metadata})) as desk:
        task = task_of(desk, below)
        task.report(tokens=7, cost_usd=Decimal("0.25"))
        await task.progress("on the way")
        await task.complete("done")
        stored = await desk.store.whole("t1", ALICE)
        assert stored is not None
        assert object_of(stored.record.body["metadata"]).get(SPENT) == told
        events = [loads(each.body) for each in await desk.store.events("t1", 1)]
        said = [object_of(object_of(each)["statusUpdate"]).get("metadata") for each in events]
        assert said == [None, {SPENT: told} if told else None]


async def test_what_an_agent_elsewhere_tells_of_its_cost_counts_here(database: Database) -> None:
    made = record()
    body: JsonObject = {**made.body, "metadata": {EXTENSION: {}}}
    async with journal_of(database, made=record(body=body)) as desk:
        # More than the budget: it has been spent, and what it was spent on is there.
        task = task_of(desk, budget="0.5")
        for state in ("TASK_STATE_WORKING", "TASK_STATE_COMPLETED"):
            await task.relay(
                {"statusUpdate": {"status": {"state": state}, "metadata": {SPENT: COST}}}
            )
        assert desk.journal.record.state is TaskState.COMPLETED
        assert object_of(desk.journal.record.body["metadata"])[SPENT] == COST


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
