from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.handover import EXTENSION
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.ports import TaskObserver, TaskOutcome
from agentcore.a2a_protocol.tasks import reports
from agentcore.a2a_protocol.tasks.reports import Reporter
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingObserver
from tests.fakes.a2a_tasks import NOW, begin, desk_of, record
from tests.fakes.clock import ManualClock


class FailingObserver:
    async def task_finished(self, outcome: TaskOutcome) -> None:
        raise RuntimeError("no ears")


class SlowObserver:
    """Counts those who are told something at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.may = asyncio.Event()
        self.may.set()

    async def task_finished(self, outcome: TaskOutcome) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        await self.may.wait()
        self.now -= 1


class AwayObserver:
    """Has no database for its first ``failing`` times."""

    def __init__(self, failing: int) -> None:
        self.failing = failing

    async def task_finished(self, outcome: TaskOutcome) -> None:
        if self.failing:
            self.failing -= 1
            raise StorageUnavailable("the database is away")


class Desk:
    def __init__(
        self, database: Database, supervisor: Supervisor, clock: ManualClock, *more: TaskObserver
    ) -> None:
        self.observer = RecordingObserver()
        self.registry = CollectorRegistry()
        self.store = VersionedTaskStore(database)
        self.reporter = Reporter(
            desk_of(self.store, supervisor, clock),
            (*more, self.observer),
            A2AMetrics(self.registry),
        )

    async def waiting(self) -> list[str]:
        """The ends that another process would tell in an hour."""
        hour = timedelta(hours=1)
        return [each.task_id for each in await self.store.claim("w2", NOW + hour, NOW + hour)]


@pytest.fixture
def desk(database: Database, supervisor: Supervisor, clock: ManualClock) -> Desk:
    return Desk(database, supervisor, clock, FailingObserver())


async def test_an_end_is_told_with_all_that_is_known(desk: Desk, clock: ManualClock) -> None:
    run = desk.reporter.begin("t1", "poet")
    assert desk.registry.get_sample_value("a2a_active_tasks") == 1
    run.report(tokens=5, cost_usd=Decimal("0.1"), metadata={"a": 1})
    run.report(tokens=7, cost_usd=Decimal("0.2"), output_quality=0.9, metadata={"b": 2})
    run.report(playbook={"version": 3})
    clock.advance(2.5)
    desk.reporter.ended(record(state=TaskState.COMPLETED))
    await desk.observer.heard.wait()
    assert desk.observer.outcomes == [
        TaskOutcome(
            agent_id="poet",
            task_id="t1",
            tenant="acme",
            execution_time=2.5,
            success=True,
            output_quality=0.9,
            tokens=12,
            cost_usd=Decimal("0.3"),
            playbook={"version": 3},
            metadata={
                "state": "TASK_STATE_COMPLETED",
                "context_id": "c1",
                "caller": "alice",
                "a": 1,
                "b": 2,
            },
        )
    ]
    assert desk.registry.get_sample_value("a2a_tasks_total", {"state": "completed"}) == 1


async def test_time_that_the_client_takes_is_not_the_agents(desk: Desk, clock: ManualClock) -> None:
    run = desk.reporter.begin("t1", "poet")
    clock.advance(2)
    desk.reporter.pause(run)
    assert desk.registry.get_sample_value("a2a_active_tasks") == 0
    clock.advance(100)
    run.cancelled = True
    assert desk.reporter.begin("t1", "poet") is run
    assert not run.cancelled
    clock.advance(3)
    desk.reporter.pause(run)
    desk.reporter.ended(record(state=TaskState.FAILED))
    await desk.observer.heard.wait()
    assert desk.observer.outcomes[0].execution_time == 5


async def test_an_end_that_is_told_is_told_once(desk: Desk) -> None:
    made = await begin(desk.store, record(state=TaskState.CANCELED))
    desk.reporter.ended(made)
    await desk.observer.heard.wait()
    desk.reporter.settle("t1")
    await desk.reporter.tell_unreported(mine=True)
    await desk.reporter.told(30)
    await desk.reporter.tell_unreported(mine=True)
    await desk.reporter.told(30)
    (outcome,) = desk.observer.outcomes
    assert (outcome.error_message, outcome.success) == ("TASK_STATE_CANCELED", False)
    assert await desk.waiting() == []


async def test_an_end_is_not_told_before_all_have_heard(
    database: Database, supervisor: Supervisor, clock: ManualClock
) -> None:
    slow = SlowObserver()
    desk = Desk(database, supervisor, clock, slow)
    slow.may.clear()
    desk.reporter.ended(await begin(desk.store, record(state=TaskState.COMPLETED)))
    await desk.observer.heard.wait()
    assert desk.reporter.untold == {"t1"}
    assert await desk.waiting() == ["t1"], "where this process is lost, another one tells it"
    slow.may.set()
    await desk.reporter.told(30)
    assert (desk.reporter.untold, await desk.waiting()) == (set(), [])


@pytest.mark.parametrize("failing", [1, reports.ATTEMPTS])
async def test_a_database_that_is_away_is_waited_for_and_then_it_is_told_anew(
    database: Database, supervisor: Supervisor, clock: ManualClock, failing: int
) -> None:
    desk = Desk(database, supervisor, clock, AwayObserver(failing))
    desk.reporter.ended(await begin(desk.store, record(state=TaskState.COMPLETED)))
    while desk.reporter.untold or not desk.observer.outcomes:
        clock.advance(reports.LONGEST_PAUSE)
        await asyncio.sleep(0)
    if failing == 1:
        assert await desk.waiting() == []
        return
    clock.advance(3600)
    await desk.reporter.tell_unreported()
    await desk.reporter.told(30)
    assert len(desk.observer.outcomes) == 2
    assert await desk.waiting() == []


async def test_the_end_of_a_lost_run_is_told_with_what_is_stored(desk: Desk) -> None:
    made = record(state=TaskState.FAILED, lease_until=None)
    kept: JsonObject = {"playbook": {"version": 3}, EXTENSION: {"private": True}}
    await begin(desk.store, replace(made, body={**made.body, "metadata": kept}))
    await desk.reporter.tell_unreported()
    await desk.reporter.told(30)
    (outcome,) = desk.observer.outcomes
    assert outcome.playbook == {"version": 3}
    assert outcome.metadata["private"] is True


async def test_runs_that_wait_are_not_kept_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_RUNS", 2)
    first = desk.reporter.begin("t1", "poet")
    desk.reporter.pause(first)
    desk.reporter.begin("t2", "poet")
    desk.reporter.begin("t3", "poet")
    assert desk.reporter.begin("t1", "poet") is not first


async def test_leaving_waits_for_those_who_are_being_told(desk: Desk) -> None:
    await desk.reporter.told(1)
    desk.reporter.ended(record(state=TaskState.COMPLETED))
    assert desk.observer.outcomes == []
    await desk.reporter.told(30)
    assert len(desk.observer.outcomes) == 1


async def test_few_ends_are_told_at_once_and_all_of_them_are(
    database: Database, supervisor: Supervisor, clock: ManualClock
) -> None:
    slow = SlowObserver()
    desk = Desk(database, supervisor, clock, slow)
    for number in range(4 * reports.AT_ONCE):
        desk.reporter.ended(record(f"t{number}", state=TaskState.COMPLETED))
    await desk.reporter.told(30)
    assert len(desk.observer.outcomes) == 4 * reports.AT_ONCE
    assert slow.most == reports.AT_ONCE
