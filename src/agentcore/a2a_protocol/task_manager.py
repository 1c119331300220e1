"""Tasks of hosted agents while they run: leases, their loss, and the report at their end.

A running task's row carries the lease of its process, renewed while the agent works. A process
that died stops renewing; whoever looks next fails the task, so that it never stays working for
ever. The end of each task is claimed in the database before observers hear of it: of any number
of processes one reports it, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.task import RUNNING, TERMINAL, TaskRecord, TaskState
from agentcore.a2a_protocol.ports import TaskObserver, TaskOutcome
from agentcore.a2a_protocol.store import TaskRows, Written
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor

# Runs that wait for their client keep what their agent has reported; beyond this, the oldest
# forget it.
MOST_RUNS = 10_000


@dataclass(slots=True, kw_only=True)
class Run:
    """What this process knows about a task beyond its row."""

    task_id: str
    agent_id: str
    began: float
    stop: Callable[[], object] = lambda: None
    active: bool = True
    cancelled: bool = False
    seconds: float = 0.0
    tokens: int = 0
    cost_usd: Decimal | None = None
    output_quality: float | None = None
    playbook: JsonObject | None = None
    metadata: JsonObject = field(default_factory=dict)

    def report(
        self,
        *,
        tokens: int = 0,
        cost_usd: Decimal | None = None,
        output_quality: float | None = None,
        playbook: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        self.tokens += tokens
        if cost_usd is not None:
            self.cost_usd = cost_usd + (self.cost_usd or 0)
        if output_quality is not None:
            self.output_quality = output_quality
        if playbook is not None:
            self.playbook = playbook
        self.metadata = {**self.metadata, **(metadata or {})}


class TaskManager:
    def __init__(
        self,
        rows: TaskRows,
        *,
        observers: Sequence[TaskObserver],
        supervisor: Supervisor,
        clock: Clock,
        ids: Ids,
        metrics: A2AMetrics,
        lease_seconds: float,
    ) -> None:
        self._rows = rows
        self._observers = tuple(observers)
        self._supervisor = supervisor
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._lease = timedelta(seconds=lease_seconds)
        self._runs: dict[str, Run] = {}
        self.worker = str(ids.new())

    def begin(self, task_id: str, agent_id: str) -> Run:
        """The agent starts to work on the task, or takes it up again."""
        began = self._clock.monotonic()
        run = self._runs.pop(task_id, None)
        if run is None:
            run = Run(task_id=task_id, agent_id=agent_id, began=began)
        run.began, run.active = began, True
        run.cancelled = False
        self._runs[task_id] = run
        self._metrics.active.inc()
        self._forget_oldest()
        return run

    def pause(self, run: Run) -> None:
        """The agent has returned; its task has ended or waits for the client."""
        run.active = False
        run.seconds += self._clock.monotonic() - run.began
        self._metrics.active.dec()

    def cancelling(self, task_id: str) -> Run:
        """The client has asked to stop; its run says so to the agent, if one is at work."""
        run = self._runs.get(task_id)
        if run is None:  # it waits for its client, and was started by another process
            run = Run(task_id=task_id, agent_id="", began=0.0, active=False)
        run.cancelled = True
        return run

    def leased(self, record: TaskRecord) -> TaskRecord:
        """``record`` with the lease that its state calls for."""
        if record.state not in RUNNING:
            return replace(record, lease_owner=None, lease_until=None)
        until = self._clock.now() + self._lease
        return replace(record, lease_owner=self.worker, lease_until=until)

    def stored(self, record: TaskRecord, written: Written) -> None:
        """To be called after each write of a task; the one that ends it leads to its report."""
        if record.state not in TERMINAL:
            return
        self._metrics.tasks.labels(record.state.removeprefix("TASK_STATE_").lower()).inc()
        if written.worker in {None, self.worker}:
            self.settle(record.task_id)

    def settle(self, task_id: str) -> None:
        """Report the task in the background if it has ended and nobody has reported it."""
        self._supervisor.spawn(f"report {task_id}", self._settle(task_id))

    async def watch(self) -> None:
        """Renew leases and look for lost tasks; runs until cancelled."""
        while True:
            await self.tend()
            await self._clock.sleep(self._lease.total_seconds() / 3)

    async def tend(self) -> None:
        await self._renew()
        await self._rows.fail_lost(self._clock.now(), self._lost)
        for record in await self._rows.claim(self._clock.now()):
            await self._tell(record)

    async def close(self) -> None:
        """Fail what is still running here: nobody will take it up. Observers hear of it."""
        await self._rows.fail_lost(self._clock.now(), self._stopped, worker=self.worker)
        for record in await self._rows.claim(self._clock.now(), worker=self.worker):
            await self._tell(record)

    async def _renew(self) -> None:
        active = {task_id for task_id, run in self._runs.items() if run.active}
        if not active:
            return
        kept = await self._rows.renew(self.worker, active, self._clock.now() + self._lease)
        for task_id in active - kept:
            record = await self._rows.peek(task_id)
            run = self._runs.get(task_id)
            if record is None or run is None:  # not stored yet, or over in the meantime
                continue
            if record.state in TERMINAL or record.lease_owner != self.worker:
                run.stop()
                self.settle(task_id)

    async def _settle(self, task_id: str) -> None:
        for record in await self._rows.claim(self._clock.now(), task_id=task_id):
            await self._tell(record)

    async def _tell(self, record: TaskRecord) -> None:
        outcome = self._outcome(record, self._runs.pop(record.task_id, None))
        # Each in a task of its own: one that fails is logged and keeps nobody from hearing.
        telling = [
            self._supervisor.spawn(f"observe {record.task_id}", observer.task_finished(outcome))
            for observer in self._observers
        ]
        if telling:
            await asyncio.wait(telling)

    def _outcome(self, record: TaskRecord, run: Run | None) -> TaskOutcome:
        success = record.state is TaskState.COMPLETED
        facts: JsonObject = {
            "state": record.state.value,
            "context_id": record.context_id,
            "caller": record.owner.subject,
        }
        outcome = TaskOutcome(
            agent_id=record.agent_id,
            task_id=record.task_id,
            tenant=record.owner.tenant,
            execution_time=(record.updated_at - record.created_at).total_seconds(),
            success=success,
            error_message=None if success else (status_text(record.body) or record.state.value),
            metadata=facts,
        )
        if run is None:
            return outcome
        working = self._clock.monotonic() - run.began if run.active else 0.0
        return replace(
            outcome,
            execution_time=run.seconds + working,
            output_quality=run.output_quality,
            tokens=run.tokens,
            cost_usd=run.cost_usd,
            playbook=run.playbook,
            metadata={**facts, **run.metadata},
        )

    def _lost(self, record: TaskRecord) -> TaskRecord:
        return self._failed(record, "the process that ran this task was lost")

    def _stopped(self, record: TaskRecord) -> TaskRecord:
        return self._failed(record, "the service was stopped while this task was running")

    def _failed(self, record: TaskRecord, reason: str) -> TaskRecord:
        now = self._clock.now()
        message: JsonObject = {
            "messageId": str(self._ids.new()),
            "taskId": record.task_id,
            "contextId": record.context_id,
            "role": "ROLE_AGENT",
            "parts": [{"text": reason}],
        }
        self._metrics.tasks.labels("failed").inc()
        return replace(
            record,
            state=TaskState.FAILED,
            version=record.version + 1,
            body=with_status(record.body, TaskState.FAILED, now, message),
            updated_at=now,
        )

    def _forget_oldest(self) -> None:
        if len(self._runs) > MOST_RUNS:
            waiting = (task_id for task_id, run in self._runs.items() if not run.active)
            self._runs.pop(next(waiting, ""), None)


def status_text(body: JsonObject) -> str:
    """The text parts of the task's status message."""
    status = body.get("status")
    message = status.get("message") if isinstance(status, dict) else None
    parts = message.get("parts") if isinstance(message, dict) else None
    texts = [
        part.get("text")
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict)
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def with_status(
    body: JsonObject, state: TaskState, now: datetime, message: JsonObject
) -> JsonObject:
    """``body`` in a new state; the message of the state before moves into the history."""
    before = body.get("status")
    history = body.get("history")
    said = before.get("message") if isinstance(before, dict) else None
    kept = [*history] if isinstance(history, list) else []
    status: JsonObject = {
        "state": state.value,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "message": message,
    }
    return {**body, "history": kept if said is None else [*kept, said], "status": status}
