from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database, StorageUnavailable, open_database
from agentcore.kit.errors import AgentCoreError, InternalError, Unavailable
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.models import DatabaseConfig
from agentcore.training.errors import JobNotFound, ScheduleNotFound, ScheduleOver
from agentcore.training.models import Job, JobSpec, Schedule, ScheduleDraft
from agentcore.training.openenv.models import SchedulingConfig
from agentcore.training.scheduler import Schedules, TrainingScheduler
from agentcore.training.scheduling.store import ScheduleStore
from tests.fakes.training import ScriptedJobs
from tests.fakes.waiting import eventually

CONFIG = SchedulingConfig(poll_seconds=0.02, lease_seconds=20.0)


def fine(_: JobSpec) -> None:
    return None


class Generous(ScheduleStore):
    """Leases end in an hour, though workers renew them as if they ended at once."""

    async def claim(self, worker: str, *, lease_seconds: float, max_attempts: int) -> Job | None:
        return await super().claim(worker, lease_seconds=3600, max_attempts=max_attempts)

    async def beat(self, job: Job, *, lease_seconds: float) -> bool:
        return await super().beat(job, lease_seconds=3600)


class World:
    """The scheduler on a real database, its jobs scripted."""

    def __init__(self, database: Database, ids: Ids) -> None:
        self.database = database
        self.store = ScheduleStore(database, ids)
        self.schedules = Schedules(self.store, ScriptedJobs(fine), ids)

    def worker(
        self, jobs: ScriptedJobs, name: str = "w", config: SchedulingConfig = CONFIG
    ) -> TrainingScheduler:
        return TrainingScheduler(config, self.store, jobs, worker=name, clock=SystemClock())

    async def add(self, timing: Any = None, tenant: str = "t", **more: Any) -> Schedule:
        values = {
            "name": "nightly",
            "job": {"environment": "guess_number", "seed": 5},
            "timing": timing or {"kind": "once"},
            **more,
        }
        return await self.schedules.add(tenant, ScheduleDraft.model_validate(values), by="ada")

    async def past(self, runs: int, catch_up: str = "all") -> Schedule:
        """A schedule that has missed ``runs`` runs, with the next far away."""
        start = await self.store.now() - timedelta(seconds=3600 * (runs - 0.5))
        every = {"kind": "every", "seconds": 3600, "starts_at": start}
        return await self.add(every, catch_up=catch_up)

    async def jobs(self, schedule: Schedule | None = None) -> list[Job]:
        page = await self.schedules.jobs(
            "t", None if schedule is None else schedule.id, limit=100, before=None
        )
        return sorted(page.jobs, key=lambda job: job.due_at)

    async def expire(self) -> None:
        async with self.database.begin() as connection:
            past = "UPDATE training_jobs SET lease_until = now() - interval '1 second'"
            await connection.execute(text(past))

    async def lease(self) -> object:
        async with self.database.begin() as connection:
            return await connection.scalar(text("SELECT lease_until FROM training_jobs"))

    async def due_now(self) -> None:
        async with self.database.begin() as connection:
            await connection.execute(text("UPDATE training_jobs SET not_before = now()"))


@pytest.fixture
def world(database: Database, ids: Ids) -> World:
    return World(database, ids)


@asynccontextmanager
async def working(scheduler: TrainingScheduler) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(scheduler.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(world: World, status: str, count: int) -> list[Job]:
    async with asyncio.timeout(20):
        while True:
            found = [job for job in await world.jobs() if job.status == status]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


async def test_a_single_run_is_run_once_and_its_result_kept(world: World) -> None:
    schedule = await world.add()
    jobs = ScriptedJobs(fine)
    async with working(world.worker(jobs)):
        (done,) = await until(world, "done", 1)
    assert done.result == {"seed": 5}
    assert done.due_at == schedule.next_due
    assert [(each.number, each.worker, each.outcome) for each in done.attempts] == [
        (1, "w", "done")
    ]
    assert done.finished_at is not None
    after = await world.schedules.get("t", schedule.id)
    assert (after.state, after.next_due) == ("finished", None)
    assert len(jobs.begun) == 1


async def test_two_schedulers_run_every_job_once(world: World, database_url: str, ids: Ids) -> None:
    await world.past(30)
    async with open_database(DatabaseConfig(pool_size=5), database_url) as other:
        both = asyncio.Event()
        one, two = ScriptedJobs(lambda _: both), ScriptedJobs(lambda _: both)
        config = CONFIG.model_copy(update={"jobs_at_once": 3})
        second = World(other, ids).worker(two, "two", config)
        async with working(world.worker(one, "one", config)), working(second):
            await eventually(lambda: one.begun and two.begun)
            both.set()
            done = await until(world, "done", 30)
    assert len(one.begun) + len(two.begun) == 30
    assert len(done) == len({job.due_at for job in done}) == 30
    assert all(len(job.attempts) == 1 for job in done)
    workers = Counter(job.attempts[0].worker for job in done)
    assert set(workers) == {"one", "two"}


async def test_a_moment_has_one_job_whoever_looks(world: World) -> None:
    await world.past(3)
    worker = world.worker(ScriptedJobs(fine))
    made = await asyncio.gather(*(worker.enqueue() for _ in range(5)))
    assert sum(made) == 3
    assert len(await world.jobs()) == 3


async def test_missed_runs_become_one_by_default(world: World) -> None:
    schedule = await world.past(10, catch_up="latest")
    assert await world.worker(ScriptedJobs(fine)).enqueue() == 1
    after = await world.schedules.get("t", schedule.id)
    assert after.missed == 9
    assert after.next_due is not None
    assert after.next_due > await world.store.now()


async def test_a_killed_worker_leaves_its_job_to_another(world: World, database_url: str) -> None:
    await world.add()
    await world.worker(ScriptedJobs(fine)).enqueue()
    lease = "0.5"
    command = [sys.executable, "-m", "tests.fakes.training", database_url, lease]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    jobs = ScriptedJobs(fine)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            # Its log goes there, too.
            while await process.stdout.readline() != b"begun\n":
                assert process.returncode is None
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with asyncio.timeout(20):
        while not await world.worker(jobs, "heir").work_once():
            await asyncio.sleep(0.02)
    (job,) = await world.jobs()
    assert job.status == "done"
    assert [(each.worker, each.outcome) for each in job.attempts] == [
        ("doomed", "lost"),
        ("heir", "done"),
    ]
    assert job.attempts[0].detail == "the process gave no more sign of life"


async def test_signs_of_life_keep_a_long_job(world: World, ids: Ids) -> None:
    await world.add()
    over = asyncio.Event()
    jobs = ScriptedJobs(lambda _: over)
    world.store = Generous(world.database, ids)
    short = CONFIG.model_copy(update={"lease_seconds": 0.15})
    async with working(world.worker(jobs, config=short)):
        await until(world, "running", 1)
        first = await world.lease()
        async with asyncio.timeout(20):
            while await world.lease() == first:
                assert not await world.worker(ScriptedJobs(fine), "thief").work_once()
                await asyncio.sleep(0.02)
        over.set()
        (done,) = await until(world, "done", 1)
    assert len(done.attempts) == 1


async def test_a_process_that_stops_gives_its_job_back(world: World) -> None:
    await world.add()
    jobs = ScriptedJobs(lambda _: asyncio.Event())
    async with working(world.worker(jobs, "leaving")):
        await until(world, "running", 1)
    assert jobs.cancelled == 1
    once = CONFIG.model_copy(update={"max_attempts": 1})
    assert await world.worker(ScriptedJobs(fine), "next", once).work_once()
    (job,) = await world.jobs()
    assert job.status == "done"
    assert [each.outcome for each in job.attempts] == ["released", "done"]


async def test_who_lost_its_lease_writes_nothing(world: World) -> None:
    await world.add()
    over = asyncio.Event()
    slow = ScriptedJobs(lambda _: over)
    async with working(world.worker(slow, "slow")):
        await until(world, "running", 1)
        await world.expire()
        heir = world.worker(ScriptedJobs(fine), "heir")
        assert await heir.work_once()
        (done,) = await until(world, "done", 1)
        over.set()
        await asyncio.sleep(0.05)
    assert await world.jobs() == [done]
    assert [each.outcome for each in done.attempts] == ["lost", "done"]


async def test_a_job_that_was_taken_away_is_stopped(world: World, ids: Ids) -> None:
    await world.add()
    jobs = ScriptedJobs(lambda _: asyncio.Event())
    world.store = Generous(world.database, ids)
    quick = CONFIG.model_copy(update={"lease_seconds": 0.15})
    async with working(world.worker(jobs, config=quick)) as running:
        (job,) = await until(world, "running", 1)
        await world.schedules.cancel("t", job.schedule_id)
        await eventually(lambda: jobs.cancelled)
        assert not running.done(), "the worker lives on"
    (job,) = await world.jobs()
    assert (job.status, job.attempts[0].outcome) == ("cancelled", "cancelled")


@pytest.mark.parametrize(
    ("error", "attempts"), [(InternalError("no"), 1), (Unavailable("later"), 3)]
)
async def test_what_may_pass_is_tried_again(
    world: World, error: AgentCoreError, attempts: int
) -> None:
    await world.add()
    worker = world.worker(ScriptedJobs(lambda _: error))
    await worker.enqueue()
    for _ in range(attempts):
        assert await worker.work_once()
        assert not await worker.work_once(), "it waits before it is tried again"
        await world.due_now()
    assert not await worker.work_once()
    (job,) = await world.jobs()
    assert (job.status, [each.outcome for each in job.attempts]) == (
        "failed",
        ["failed"] * attempts,
    )
    assert job.error is not None
    assert job.error["code"] == error.code
    assert job.attempts[0].detail == error.detail


async def test_a_job_that_breaks_off_ends_no_other(world: World) -> None:
    """What no rollout should raise, and still may."""

    class Careless(ScriptedJobs):
        async def run(self, job: JobSpec) -> JsonObject:
            if job.seed == 1:
                raise OSError(28, "No space left on device")
            return await super().run(job)

    await world.add(job={"environment": "guess_number", "seed": 1})
    await world.add(job={"environment": "guess_number", "seed": 2})
    async with working(world.worker(Careless(fine))) as task:
        (failed,) = await until(world, "failed", 1)
        await until(world, "done", 1)
        assert not task.done()
    assert failed.error is not None
    assert failed.error["code"] == "internal_error"
    assert "No space left on device" in str(failed.error["detail"])


async def test_a_database_that_is_away_at_the_end_costs_an_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise StorageUnavailable("the database is away")

    await world.add()
    worker = world.worker(ScriptedJobs(fine))
    await worker.enqueue()
    with monkeypatch.context() as broken:
        broken.setattr(world.store, "finish", away)
        assert await worker.work_once()
    await world.expire()
    assert await worker.work_once()
    (job,) = await world.jobs()
    assert (job.status, [each.outcome for each in job.attempts]) == ("done", ["lost", "done"])


async def test_a_job_that_kills_its_processes_ends(world: World) -> None:
    await world.add()
    await world.worker(ScriptedJobs(fine)).enqueue()
    for _ in range(CONFIG.max_attempts):
        assert await world.store.claim("w", lease_seconds=20, max_attempts=CONFIG.max_attempts)
        await world.expire()
    assert not await world.worker(ScriptedJobs(fine)).work_once()
    (job,) = await world.jobs()
    assert job.status == "failed"
    assert job.error == {
        "code": "training_attempts_exhausted",
        "detail": "begun 3 times and never brought to an end",
    }


async def test_a_paused_schedule_rests_and_catches_nothing_up(world: World) -> None:
    schedule = await world.past(4)
    worker = world.worker(ScriptedJobs(fine))
    await world.schedules.pause("t", schedule.id)
    assert await worker.enqueue() == 0
    resumed = await world.schedules.resume("t", schedule.id)
    assert resumed.next_due is not None
    assert resumed.next_due > await world.store.now()
    assert await worker.enqueue() == 0
    single = await world.add()
    await world.schedules.pause("t", single.id)
    assert await worker.enqueue() == 0
    await world.schedules.resume("t", single.id)
    assert await worker.enqueue() == 1
    await world.schedules.cancel("t", schedule.id)


async def test_jobs_of_a_paused_schedule_do_not_begin(world: World) -> None:
    schedule = await world.past(2)
    worker = world.worker(ScriptedJobs(fine))
    assert await worker.enqueue() == 2
    await world.schedules.pause("t", schedule.id)
    assert not await worker.work_once()
    await world.schedules.resume("t", schedule.id)
    assert await worker.work_once()
    await world.schedules.cancel("t", schedule.id)
    assert not await worker.work_once()
    assert sorted(job.status for job in await world.jobs(schedule)) == ["cancelled", "done"]
    for change in (world.schedules.pause, world.schedules.resume):
        with pytest.raises(ScheduleOver):
            await change("t", schedule.id)
    assert (await world.schedules.cancel("t", schedule.id)).state == "cancelled"


async def test_schedules_survive_a_restart(world: World, database_url: str, ids: Ids) -> None:
    daily = {"kind": "daily", "times": ["06:00", "18:30"], "timezone": "UTC", "weekdays": [0, 4]}
    made = await world.add(daily, job={"environment": "e", "policy": "reference", "episodes": 7})
    async with open_database(DatabaseConfig(pool_size=1), database_url) as later:
        found = await World(later, ids).schedules.get("t", made.id)
    assert found == made


async def test_tenants_see_their_own(world: World) -> None:
    own = [await world.add() for _ in range(3)]
    await world.add(tenant="other")
    await world.worker(ScriptedJobs(fine)).enqueue()
    first = await world.schedules.page("t", limit=2, after=None)
    rest = await world.schedules.page("t", limit=2, after=UUID(first.next_cursor or ""))
    assert [each.id for each in (*first.schedules, *rest.schedules)] == [each.id for each in own]
    assert rest.next_cursor is None
    jobs = await world.schedules.jobs("t", None, limit=2, before=None)
    assert jobs.next_cursor is not None
    (last,) = (await world.schedules.jobs("t", None, limit=2, before=UUID(jobs.next_cursor))).jobs
    assert len({each.id for each in (*jobs.jobs, last)}) == 3
    with pytest.raises(JobNotFound):
        await world.schedules.job("other", last.id)
    for act in ("get", "pause", "resume", "cancel"):
        with pytest.raises(ScheduleNotFound):
            await getattr(world.schedules, act)("other", own[0].id)


async def test_what_postgres_cannot_hold_is_refused_or_replaced(world: World) -> None:
    with pytest.raises(ValidationError, match=r"U\+0000"):
        await world.add(name="night\x00ly")
    reward = {"name": "potential", "parameters": {"at": "/a\x00"}}
    with pytest.raises(ValidationError, match=r"U\+0000"):
        await world.add(job={"environment": "e", "reward": reward})
    await world.add()
    worker = world.worker(ScriptedJobs(lambda _: InternalError("said \x00")))
    await worker.enqueue()
    assert await worker.work_once()
    (job,) = await world.jobs()
    assert job.error is not None
    assert job.error["detail"] == job.attempts[0].detail == "said \ufffd"
    done: JsonObject = {"report": {"reasons": {"openenv_step_failed": "said \x00 too"}}}
    await world.add()
    worker = world.worker(ScriptedJobs(fine, result=done))
    await worker.enqueue()
    assert await worker.work_once()
    (job,) = (each for each in await world.jobs() if each.status == "done")
    assert job.result == {"report": {"reasons": {"openenv_step_failed": "said \ufffd too"}}}


async def test_a_process_may_run_no_jobs(world: World) -> None:
    await world.add()
    idle = CONFIG.model_copy(update={"jobs_at_once": 0})
    async with working(world.worker(ScriptedJobs(fine), config=idle)):
        (queued,) = await until(world, "queued", 1)
    assert queued.attempts == ()
