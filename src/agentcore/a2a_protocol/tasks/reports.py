"""The end of each task of a hosted agent, told to observers once.

It is claimed in the database before anybody hears of it: of any number of processes one tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace

from agentcore.a2a_protocol.handovers import metadata_of, read
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.handover import EXTENSION
from agentcore.a2a_protocol.models.task import TaskRecord, TaskState
from agentcore.a2a_protocol.ports import TaskObserver, TaskOutcome
from agentcore.a2a_protocol.tasks.handle import PLAYBOOK, Run
from agentcore.a2a_protocol.tasks.snapshot import status_text
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.supervisor import Supervisor

# Runs that wait for their client keep what their agent has reported; beyond this, the oldest
# forget it.
MOST_RUNS = 10_000
# Observers ask the database, whose connections those who wait for an answer need more.
AT_ONCE = 4


class Reporter:
    def __init__(
        self,
        store: VersionedTaskStore,
        *,
        observers: Sequence[TaskObserver],
        supervisor: Supervisor,
        clock: Clock,
        metrics: A2AMetrics,
    ) -> None:
        self._store = store
        self._observers = tuple(observers)
        self._supervisor = supervisor
        self._clock = clock
        self._metrics = metrics
        self._runs: dict[str, Run] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

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

    def ended(self, record: TaskRecord) -> None:
        """The task has ended, and by ``reported_at`` it is this process that tells it."""
        self.count(record)
        if record.reported_at is None:
            self.settle(record.task_id)
        elif self._observers:
            self._spawn(record.task_id, self._tell(record))
        else:
            self._runs.pop(record.task_id, None)

    def count(self, record: TaskRecord) -> None:
        self._metrics.tasks.labels(record.state.removeprefix("TASK_STATE_").lower()).inc()

    def settle(self, task_id: str) -> None:
        """Report the task in the background if it has ended and nobody has reported it."""
        self._spawn(task_id, self._settle(task_id))

    async def told(self, seconds: float) -> None:
        """Wait for those who are being told, at most that long."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=seconds)

    def _spawn(self, task_id: str, telling: Coroutine[None, None, None]) -> None:
        task = self._supervisor.spawn(f"report {task_id}", telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def tell_unreported(self, *, worker: str | None = None) -> None:
        """Tell the ends that nobody else is going to tell, or those of ``worker``."""
        for record in await self._store.claim(self._clock.now(), worker=worker):
            await self._tell(record)

    async def _settle(self, task_id: str) -> None:
        for record in await self._store.claim(self._clock.now(), task_id=task_id):
            await self._tell(record)

    async def _tell(self, record: TaskRecord) -> None:
        outcome = self.outcome(record, self._runs.pop(record.task_id, None))
        async with self._places:
            # Each in a task of its own: one that fails is logged and keeps nobody from hearing.
            telling = [
                self._supervisor.spawn(f"observe {record.task_id}", observer.task_finished(outcome))
                for observer in self._observers
            ]
            if telling:
                await asyncio.wait(telling)

    def outcome(self, record: TaskRecord, run: Run | None) -> TaskOutcome:
        success = record.state is TaskState.COMPLETED
        facts: JsonObject = {
            "state": record.state.value,
            "context_id": record.context_id,
            "caller": record.owner.subject,
        }
        kept = metadata_of(record.body)
        if read(kept.get(EXTENSION)).private:
            facts["private"] = True
        outcome = TaskOutcome(
            agent_id=record.agent_id,
            task_id=record.task_id,
            tenant=record.owner.tenant,
            execution_time=(record.updated_at - record.created_at).total_seconds(),
            success=success,
            error_message=None if success else (status_text(record.body) or record.state.value),
            playbook=object_of(kept.get(PLAYBOOK)) or None,
            metadata=facts,
            handover=object_of(object_of(record.body.get("metadata")).get(EXTENSION)),
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
            playbook=run.playbook or outcome.playbook,
            metadata={**facts, **run.metadata},
        )

    def _forget_oldest(self) -> None:
        if len(self._runs) > MOST_RUNS:
            waiting = (task_id for task_id, run in self._runs.items() if not run.active)
            self._runs.pop(next(waiting, ""), None)
