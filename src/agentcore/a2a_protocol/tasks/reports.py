"""The end of each task of a hosted agent, told to observers.

It is marked as reported when all have heard of it: an end that a lost process has not told, another
one tells. Of any number of processes one at a time holds the lease on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial

import structlog

from agentcore.a2a_protocol.handovers import metadata_of, read
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.handover import EXTENSION
from agentcore.a2a_protocol.models.task import TaskRecord, TaskState
from agentcore.a2a_protocol.ports import TaskObserver, TaskOutcome
from agentcore.a2a_protocol.tasks.handle import PLAYBOOK, Run
from agentcore.a2a_protocol.tasks.journal import Desk
from agentcore.a2a_protocol.tasks.snapshot import status_text
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.resilience import retry

# Runs that wait for their client keep what their agent has reported; beyond this, the oldest
# forget it.
MOST_RUNS = 10_000
# Observers ask the database, whose connections those who wait for an answer need more.
AT_ONCE = 8
TELL_SECONDS = 0.02
# Ends of lost processes that are told at a time.
MOST_TAKEN_UP = 1000
# Some two minutes: as long as a database takes to start again.
ATTEMPTS = 20
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0

log = structlog.get_logger()


class Reporter:
    """``untold`` are the tasks whose ends this process is telling."""

    def __init__(self, desk: Desk, observers: Sequence[TaskObserver], metrics: A2AMetrics) -> None:
        self.untold: set[str] = set()
        self._desk = desk
        self._clock = desk.clock
        self._observers = tuple(observers)
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
        """This process has ended the task, and tells it."""
        self.count(record)
        self._spawn(record.task_id, self._tell(record))

    def count(self, record: TaskRecord) -> None:
        self._metrics.tasks.labels(record.state.removeprefix("TASK_STATE_").lower()).inc()

    def settle(self, task_id: str) -> None:
        """Report the task in the background if it has ended and nobody else reports it."""
        self._spawn(task_id, self._settle(task_id))

    async def told(self, seconds: float) -> None:
        """Wait for those who are being told, at most that long."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=seconds)

    def _spawn(self, task_id: str, telling: Coroutine[None, None, None]) -> None:
        task = self._desk.supervisor.spawn(f"report {task_id}", telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def tell_unreported(self, *, mine: bool = False) -> None:
        """Tell the ends that nobody is telling any more, and with ``mine`` those held here."""
        if len(self.untold) < MOST_TAKEN_UP:
            for record in await self._claimed(mine=mine):
                self._spawn(record.task_id, self._tell(record))

    async def _settle(self, task_id: str) -> None:
        for record in await self._claimed(task_id=task_id):
            await self._tell(record)

    async def _claimed(self, task_id: str | None = None, *, mine: bool = False) -> list[TaskRecord]:
        now, desk = self._clock.now(), self._desk
        found = await desk.store.claim(
            desk.worker, now, now + desk.lease, MOST_TAKEN_UP, task_id=task_id, mine=mine
        )
        return [record for record in found if record.task_id not in self.untold]

    async def _tell(self, record: TaskRecord) -> None:
        self.untold.add(record.task_id)
        try:
            # At the same moments, so that what observers write goes together.
            await asyncio.sleep(TELL_SECONDS - asyncio.get_running_loop().time() % TELL_SECONDS)
            async with self._places:
                await self._observed(self.outcome(record, self._runs.pop(record.task_id, None)))
            await self._desk.store.reported(record.task_id)
        except StorageUnavailable as error:
            # Its lease runs out, and whoever looks next tells it.
            log.warning("a task's end was not told", task_id=record.task_id, reason=error.detail)
        finally:
            self.untold.discard(record.task_id)

    async def _observed(self, outcome: TaskOutcome) -> None:
        away: list[StorageUnavailable] = []

        async def tell(observer: TaskObserver) -> None:
            try:
                # Who is told anew hears less of it: a database that is away is waited for.
                await retry(
                    partial(observer.task_finished, outcome),
                    on=(StorageUnavailable,),
                    attempts=ATTEMPTS,
                    base=FIRST_PAUSE,
                    cap=LONGEST_PAUSE,
                    clock=self._clock,
                )
            except StorageUnavailable as error:
                away.append(error)

        # Each in a task of its own: one that fails is logged and keeps nobody from hearing.
        spawn = self._desk.supervisor.spawn
        telling = [spawn(f"observe {outcome.task_id}", tell(each)) for each in self._observers]
        if telling:
            await asyncio.wait(telling)
        if away:
            raise away[0]

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
