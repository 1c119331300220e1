from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.task import Owner, TaskRecord, TaskState
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.a2a_protocol.store import TaskRows
from agentcore.a2a_protocol.task_manager import TaskManager, status_text, with_status
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingObserver
from tests.fakes.clock import ManualClock

LEASE = 30.0


class FailingObserver:
    async def task_finished(self, outcome: TaskOutcome) -> None:
        raise RuntimeError("no ears")


class Process:
    """A task manager as one process has it."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        supervisor: Supervisor,
        registry: CollectorRegistry,
    ) -> None:
        self.rows = TaskRows(database)
        self.clock = clock
        self.observer = RecordingObserver()
        self.registry = registry
        self.manager = TaskManager(
            self.rows,
            observers=(FailingObserver(), self.observer),
            supervisor=supervisor,
            clock=clock,
            ids=Ids(),
            metrics=A2AMetrics(registry),
            lease_seconds=LEASE,
        )

    def record(self, task_id: str = "t1", state: TaskState = TaskState.WORKING) -> TaskRecord:
        record = TaskRecord(
            task_id=task_id,
            owner=Owner(tenant="acme", subject="alice"),
            agent_id="poet",
            context_id="c1",
            state=state,
            version=1,
            body={"id": task_id, "status": {"state": state.value}},
            created_at=self.clock.now(),
            updated_at=self.clock.now(),
        )
        return self.manager.leased(record)

    async def end(self, record: TaskRecord, state: TaskState, text: str = "") -> None:
        """Write the end as the task store does."""
        message: JsonObject = {"parts": [{"text": text}]}
        body = with_status(record.body, state, self.clock.now(), message)
        ended = replace(record, state=state, version=record.version + 1, body=body)
        written = await self.rows.update(ended)
        assert written is not None
        self.manager.stored(ended, written)

    async def state(self, task_id: str = "t1") -> TaskState:
        found = await self.rows.peek(task_id)
        assert found is not None
        return found.state


@pytest.fixture
def process(
    database: Database, clock: ManualClock, supervisor: Supervisor, registry: CollectorRegistry
) -> Process:
    return Process(database, clock, supervisor, registry)


@pytest.fixture
def other(database: Database, clock: ManualClock, supervisor: Supervisor) -> Process:
    return Process(database, clock, supervisor, CollectorRegistry())


async def test_an_end_is_told_with_all_that_is_known(process: Process) -> None:
    run = process.manager.begin("t1", "poet")
    record = process.record()
    await process.rows.insert(record)
    run.report(tokens=5, cost_usd=Decimal("0.1"), metadata={"a": 1})
    run.report(tokens=7, cost_usd=Decimal("0.2"), output_quality=0.9, metadata={"b": 2})
    run.report(playbook={"version": 3})
    process.clock.advance(2.5)
    await process.end(record, TaskState.COMPLETED)
    await process.observer.heard.wait()
    assert process.observer.outcomes == [
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
    labels = {"state": "completed"}
    assert process.registry.get_sample_value("a2a_tasks_total", labels) == 1


async def test_time_that_the_client_takes_is_not_the_agents(process: Process) -> None:
    process.clock.advance(1)
    run = process.manager.begin("t1", "poet")
    assert process.registry.get_sample_value("a2a_active_tasks") == 1
    process.clock.advance(2)
    process.manager.pause(run)
    assert process.registry.get_sample_value("a2a_active_tasks") == 0
    process.clock.advance(100)
    assert process.manager.begin("t1", "poet") is run
    process.clock.advance(3)
    process.manager.pause(run)
    record = process.record()
    await process.rows.insert(record)
    await process.end(record, TaskState.FAILED, "no rhyme")
    await process.observer.heard.wait()
    (outcome,) = process.observer.outcomes
    assert outcome.execution_time == 5
    assert (outcome.success, outcome.error_message) == (False, "no rhyme")


async def test_a_lease_is_kept_as_long_as_the_agent_works(process: Process, other: Process) -> None:
    process.manager.begin("t1", "poet")
    await process.rows.insert(process.record())
    for _ in range(5):
        process.clock.advance(LEASE / 2)
        await process.manager.tend()
        await other.manager.tend()
    assert await process.state() is TaskState.WORKING


async def test_a_lost_task_is_failed_and_told_by_one_process(
    process: Process, other: Process
) -> None:
    await process.rows.insert(process.record())
    process.clock.advance(LEASE - 1)
    await other.manager.tend()
    assert await process.state() is TaskState.WORKING
    process.clock.advance(2)
    await other.manager.tend()
    await process.manager.tend()
    assert await process.state() is TaskState.FAILED
    (outcome,) = other.observer.outcomes + process.observer.outcomes
    assert outcome.error_message == "the process that ran this task was lost"
    found = await process.rows.peek("t1")
    assert found is not None
    assert status_text(found.body) == outcome.error_message


async def test_a_task_that_waits_for_its_client_is_not_lost(process: Process) -> None:
    record = process.record(state=TaskState.INPUT_REQUIRED)
    assert (record.lease_owner, record.lease_until) == (None, None)
    await process.rows.insert(record)
    process.clock.advance(timedelta(days=30).total_seconds())
    await process.manager.tend()
    assert await process.state() is TaskState.INPUT_REQUIRED


async def test_an_end_elsewhere_stops_the_agent_and_is_told_by_its_process(
    process: Process, other: Process
) -> None:
    stopped: list[bool] = []
    run = process.manager.begin("t1", "poet")
    run.stop = lambda: stopped.append(True)
    run.report(tokens=3)
    record = process.record()
    await process.rows.insert(record)
    await other.end(record, TaskState.CANCELED)
    await process.manager.tend()
    await process.observer.heard.wait()
    assert stopped == [True]
    assert other.observer.outcomes == []
    assert [outcome.tokens for outcome in process.observer.outcomes] == [3]


async def test_a_run_that_is_not_stored_yet_is_left_alone(process: Process) -> None:
    stopped: list[bool] = []
    process.manager.begin("t1", "poet").stop = lambda: stopped.append(True)
    await process.manager.tend()
    assert stopped == []


async def test_the_end_of_an_unheld_task_is_told_by_who_wrote_it(process: Process) -> None:
    record = process.record(state=TaskState.INPUT_REQUIRED)
    await process.rows.insert(record)
    await process.end(record, TaskState.CANCELED)
    await process.observer.heard.wait()
    assert process.observer.outcomes[0].error_message == "TASK_STATE_CANCELED"


async def test_closing_fails_what_runs_here_only(process: Process, other: Process) -> None:
    await process.rows.insert(process.record("mine"))
    await process.rows.insert(other.record("theirs"))
    await process.manager.close()
    assert await process.state("mine") is TaskState.FAILED
    assert await process.state("theirs") is TaskState.WORKING
    assert [outcome.task_id for outcome in process.observer.outcomes] == ["mine"]


async def test_watching_renews_before_the_lease_is_over(
    process: Process, supervisor: Supervisor
) -> None:
    supervisor.start("watch", process.manager.watch)
    process.manager.begin("t1", "poet")
    await process.rows.insert(process.record())
    while not process.clock.slept:
        await process.rows.peek("t1")
    assert process.clock.slept == [LEASE / 3]


async def test_cancelling_a_task_that_nobody_runs_here(process: Process) -> None:
    assert process.manager.cancelling("t1").cancelled
    run = process.manager.begin("t2", "poet")
    assert process.manager.cancelling("t2") is run
    assert run.cancelled
    assert not process.manager.begin("t2", "poet").cancelled


def test_a_new_status_moves_the_message_before_it_into_the_history(clock: ManualClock) -> None:
    before: JsonObject = {
        "status": {"state": "x", "message": {"messageId": "1"}},
        "history": [{"messageId": "0"}],
    }
    body = with_status(before, TaskState.FAILED, clock.now(), {"messageId": "2"})
    assert body["history"] == [{"messageId": "0"}, {"messageId": "1"}]
    assert body["status"] == {
        "state": "TASK_STATE_FAILED",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {"messageId": "2"},
    }
    assert with_status({}, TaskState.FAILED, clock.now(), {})["history"] == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, ""),
        ({"status": {}}, ""),
        ({"status": {"message": {"parts": [{"text": "a"}, {"url": "u"}, {"text": "b"}]}}}, "a\nb"),
    ],
)
def test_the_text_of_a_status(body: JsonObject, text: str) -> None:
    assert status_text(body) == text
