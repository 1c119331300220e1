"""Rollouts by schedule: standing orders that survive restarts, run by whichever replica is free.

A job is begun at least once: a process that dies leaves its lease, and when that runs out another
process begins the job anew, up to ``max_attempts`` times; each attempt is recorded. No two
processes run the same attempt, and one that has lost its lease writes no result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import AgentCoreError, InternalError, said_by
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import JobNotFound, ScheduleNotFound, ScheduleOver
from agentcore.training.models import (
    Job,
    JobPage,
    Once,
    Schedule,
    ScheduleDraft,
    SchedulePage,
    ScheduleState,
)
from agentcore.training.openenv.models import SchedulingConfig
from agentcore.training.scheduling.ports import JobRunner
from agentcore.training.scheduling.store import ScheduleStore, failures
from agentcore.training.scheduling.timing import Due, due, first_due, following

FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0

log = structlog.get_logger()


class Schedules:
    """The standing orders of all tenants; a caller sees those of its own."""

    def __init__(self, store: ScheduleStore, runner: JobRunner, ids: Ids) -> None:
        self._store = store
        self._runner = runner
        self._ids = ids

    async def add(self, tenant: str, draft: ScheduleDraft, *, by: str = "") -> Schedule:
        """Accept a schedule whose job can be run, and whose times are known here."""
        await self._runner.check(draft.job)
        now = await self._store.now()
        schedule = Schedule(
            **dict(draft),
            id=self._ids.new(),
            state="active",
            next_due=first_due(draft.timing, now),
            missed=0,
            created_at=now,
            created_by=by,
        )
        await self._store.add(tenant, schedule)
        return schedule

    async def get(self, tenant: str, schedule_id: UUID) -> Schedule:
        found = await self._store.schedule(tenant, schedule_id)
        if found is None:
            raise _no_schedule(schedule_id)
        return found

    async def page(self, tenant: str, *, limit: int, after: UUID | None) -> SchedulePage:
        found = await self._store.schedules(tenant, limit=limit + 1, after=after)
        more = str(found[limit - 1].id) if len(found) > limit else None
        return SchedulePage(schedules=tuple(found[:limit]), next_cursor=more)

    async def pause(self, tenant: str, schedule_id: UUID) -> Schedule:
        """No new jobs, and those that wait do not begin; what runs goes on."""

        def decide(known: Schedule, _: datetime) -> tuple[ScheduleState, datetime | None]:
            _open(known)
            return "paused", known.next_due

        return await self._change(tenant, schedule_id, decide)

    async def resume(self, tenant: str, schedule_id: UUID) -> Schedule:
        """What fell into the pause is not caught up; only a single run that was due then is."""

        def decide(known: Schedule, now: datetime) -> tuple[ScheduleState, datetime | None]:
            _open(known)
            since = known.next_due
            if since is None or since > now or isinstance(known.timing, Once):
                return "active", since
            return "active", following(known.timing, since, now)

        return await self._change(tenant, schedule_id, decide)

    async def cancel(self, tenant: str, schedule_id: UUID) -> Schedule:
        """For good, with its open jobs; cancelling twice changes nothing."""

        def decide(_: Schedule, __: datetime) -> tuple[ScheduleState, datetime | None]:
            return "cancelled", None

        return await self._change(tenant, schedule_id, decide)

    async def job(self, tenant: str, job_id: UUID) -> Job:
        found = await self._store.job(tenant, job_id)
        if found is None:
            raise JobNotFound(f"there is no job {job_id}")
        return found

    async def jobs(
        self, tenant: str, schedule_id: UUID | None, *, limit: int, before: UUID | None
    ) -> JobPage:
        found = await self._store.jobs(tenant, schedule_id, limit=limit + 1, before=before)
        more = str(found[limit - 1].id) if len(found) > limit else None
        return JobPage(jobs=tuple(found[:limit]), next_cursor=more)

    async def _change(
        self,
        tenant: str,
        schedule_id: UUID,
        decide: Callable[[Schedule, datetime], tuple[ScheduleState, datetime | None]],
    ) -> Schedule:
        found = await self._store.change(tenant, schedule_id, decide)
        if found is None:
            raise _no_schedule(schedule_id)
        return found


class TrainingScheduler:
    """One process's share of the work: ``run`` under the supervisor."""

    def __init__(
        self,
        config: SchedulingConfig,
        store: ScheduleStore,
        runner: JobRunner,
        *,
        worker: str,
        clock: Clock,
    ) -> None:
        """``worker`` names this process in the attempts."""
        self._config = config
        self._store = store
        self._runner = runner
        self._worker = worker
        self._clock = clock

    async def run(self) -> None:
        """Make jobs of what is due and run what waits, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._config.jobs_at_once):
                group.create_task(self._work())
            group.create_task(self._look())

    async def enqueue(self) -> int:
        """Make the jobs that are due now; returns how many."""
        return await self._store.enqueue_due(_plan)

    async def work_once(self) -> bool:
        """Run one job if one waits; False where none does."""
        config = self._config
        job = await self._store.claim(
            self._worker, lease_seconds=config.lease_seconds, max_attempts=config.max_attempts
        )
        if job is None:
            return False
        await self._run(job)
        return True

    async def _look(self) -> None:
        while True:
            try:
                await self.enqueue()
            except StorageUnavailable as error:
                log.warning("schedules cannot be read", error=str(error))
            await self._clock.sleep(self._config.poll_seconds)

    async def _work(self) -> None:
        while True:
            try:
                worked = await self.work_once()
            except StorageUnavailable as error:
                log.warning("jobs cannot be taken", error=str(error))
                worked = False
            if not worked:
                await self._clock.sleep(self._config.poll_seconds)

    async def _run(self, job: Job) -> None:
        log.info("scheduled rollout", job=str(job.id), attempt=len(job.attempts))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._outcome(job))
            try:
                await self._keep(job, running)
            except asyncio.CancelledError:
                # This process stops: another takes the job at once, without waiting for the lease.
                running.cancel()
                await self._release(job)
                raise

    async def _keep(self, job: Job, running: asyncio.Task[None]) -> None:
        """Signs of life until the job ends; it is stopped when it is no longer ours to run."""
        config = self._config
        last = self._clock.monotonic()
        while not running.done():
            await asyncio.wait({running}, timeout=config.lease_seconds / 3)
            if running.done():
                return
            try:
                held = await self._store.beat(job, lease_seconds=config.lease_seconds)
                last = self._clock.monotonic()
            except StorageUnavailable:
                # As long as the lease holds, nobody else runs it.
                held = self._clock.monotonic() - last < config.lease_seconds
            if not held:
                log.warning("scheduled rollout was taken away", job=str(job.id))
                running.cancel()
                return

    async def _release(self, job: Job) -> None:
        try:
            await self._store.finish(job, "queued", outcome="released")
        except StorageUnavailable as error:
            log.warning("a job waits for its lease to run out", job=str(job.id), error=str(error))

    async def _outcome(self, job: Job) -> None:
        try:
            await self._ended(job)
        except StorageUnavailable as error:
            # When the lease has run out another attempt begins.
            log.warning("the end of a job is not recorded", job=str(job.id), error=error.detail)

    async def _ended(self, job: Job) -> None:
        """Bring it to its recorded end: nothing that a rollout does ends the others."""
        try:
            result = await self._runner.run(job.job)
        except AgentCoreError as error:
            await self._failed(job, error)
        except Exception as error:
            log.exception("a job broke off", job=str(job.id))
            broken = InternalError(f"it broke off: {said_by(error)}", hint="see the service's log")
            await self._failed(job, broken)
        else:
            await self._store.finish(job, "done", outcome="done", result=result)

    async def _failed(self, job: Job, error: AgentCoreError) -> None:
        """What may pass is tried again, later each time."""
        told: JsonObject = {"code": error.code, "detail": error.detail, "hint": error.hint}
        before = failures(job.attempts)
        again = error.retryable and before + 1 < self._config.max_attempts
        wait = min(FIRST_WAIT * 2**before, LONGEST_WAIT) if again else 0.0
        await self._store.finish(
            job, "queued" if again else "failed", outcome="failed", error=told, wait_seconds=wait
        )


def _plan(schedule: Schedule, now: datetime) -> Due:
    since = now if schedule.next_due is None else schedule.next_due
    return due(schedule.timing, since, now, schedule.catch_up)


def _open(schedule: Schedule) -> None:
    if schedule.state in ("finished", "cancelled"):
        raise ScheduleOver(
            f"the schedule {schedule.name!r} is {schedule.state}", hint="make a new one"
        )


def _no_schedule(schedule_id: UUID) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule {schedule_id}")
