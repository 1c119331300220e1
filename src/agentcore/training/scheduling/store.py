"""Schedules and their jobs in PostgreSQL, whose clock is the one that counts.

Replicas take turns by row locks (``SKIP LOCKED``); a job belongs to the process that holds its
lease. Whoever writes a job's end names the attempt: one that lost its lease writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.storable import made_storable
from agentcore.training.models import (
    Attempt,
    AttemptOutcome,
    Job,
    JobStatus,
    Schedule,
    ScheduleState,
)
from agentcore.training.scheduling.timing import Due

training_schedules = Table(
    "training_schedules",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("job", JSONB, nullable=False),
    Column("timing", JSONB, nullable=False),
    Column("catch_up", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("next_due", DateTime(timezone=True)),
    Column("missed", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_training_schedules_tenant", "tenant", "id"),
    Index("ix_training_schedules_due", "next_due", postgresql_where=text("state = 'active'")),
)
training_jobs = Table(
    "training_jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "schedule_id", Uuid, ForeignKey("training_schedules.id", ondelete="CASCADE"), nullable=False
    ),
    Column("tenant", Text, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("status", Text, nullable=False),
    Column("job", JSONB, nullable=False),
    Column("attempts", JSONB, nullable=False),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("worker", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("result", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("schedule_id", "due_at", name="uq_training_jobs_due"),
    Index("ix_training_jobs_tenant", "tenant", "id"),
    Index(
        "ix_training_jobs_open",
        "not_before",
        "id",
        postgresql_where=text("status IN ('queued', 'running')"),
    ),
)
SCHEDULES, JOBS = training_schedules.c, training_jobs.c
DUE_AT_ONCE = 50
LOST = "the process gave no more sign of life"
EXHAUSTED = "training_attempts_exhausted"


class ScheduleStore:
    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def now(self) -> datetime:
        return await self._database.run(_now)

    async def add(self, tenant: str, schedule: Schedule) -> None:
        values = {"tenant": tenant, **schedule.model_dump(exclude={"job", "timing"})}
        values["job"] = schedule.job.model_dump(mode="json")
        values["timing"] = schedule.timing.model_dump(mode="json")
        await self._database.write(insert(training_schedules).values(values))

    async def schedule(self, tenant: str, schedule_id: UUID) -> Schedule | None:
        mine = and_(SCHEDULES.tenant == tenant, SCHEDULES.id == schedule_id)
        row = await self._database.row(select(training_schedules).where(mine))
        return None if row is None else _schedule(row)

    async def schedules(self, tenant: str, *, limit: int, after: UUID | None) -> list[Schedule]:
        """The oldest first, from behind ``after``."""
        statement = select(training_schedules).where(SCHEDULES.tenant == tenant)
        if after is not None:
            statement = statement.where(SCHEDULES.id > after)
        found = await self._database.rows(statement.order_by(SCHEDULES.id).limit(limit))
        return [_schedule(row) for row in found]

    async def change(
        self,
        tenant: str,
        schedule_id: UUID,
        decide: Callable[[Schedule, datetime], tuple[ScheduleState, datetime | None]],
    ) -> Schedule | None:
        """Write the state and next moment that ``decide`` gives; None where there is none.

        A cancelled schedule's open jobs are cancelled with it: those that run notice it with
        their next sign of life.
        """

        async def work(connection: AsyncConnection) -> Schedule | None:
            mine = and_(SCHEDULES.tenant == tenant, SCHEDULES.id == schedule_id)
            statement = select(training_schedules).where(mine).with_for_update()
            row = (await connection.execute(statement)).mappings().first()
            if row is None:
                return None
            known = _schedule(row)
            state, next_due = decide(known, await _now(connection))
            changed = update(training_schedules).where(mine).values(state=state, next_due=next_due)
            await connection.execute(changed)
            if state == "cancelled":
                await _cancel_jobs(connection, schedule_id)
            return known.model_copy(update={"state": state, "next_due": next_due})

        return await self._database.run(work)

    async def enqueue_due(self, plan: Callable[[Schedule, datetime], Due]) -> int:
        """Make the jobs of all schedules that are due; returns how many.

        A replica passes over what another is looking at. A moment has one job, whoever makes it.
        """

        async def work(connection: AsyncConnection) -> int:
            now = await _now(connection)
            statement = (
                select(training_schedules)
                .where(SCHEDULES.state == "active", SCHEDULES.next_due <= now)
                .order_by(SCHEDULES.next_due)
                .limit(DUE_AT_ONCE)
                .with_for_update(skip_locked=True)
            )
            made = 0
            for row in (await connection.execute(statement)).mappings().all():
                made += await self._enqueue(connection, row, plan(_schedule(row), now))
            return made

        return await self._database.run(work)

    async def _enqueue(self, connection: AsyncConnection, row: RowMapping, found: Due) -> int:
        for moment in found.moments:
            values = {
                "id": self._ids.new(),
                "schedule_id": row["id"],
                "tenant": row["tenant"],
                "due_at": moment,
                "status": "queued",
                "job": row["job"],
                "attempts": [],
                "not_before": moment,
            }
            added = upsert(training_jobs).values(values)
            await connection.execute(
                added.on_conflict_do_nothing(constraint="uq_training_jobs_due")
            )
        await connection.execute(
            update(training_schedules)
            .where(SCHEDULES.id == row["id"])
            .values(
                next_due=found.following,
                missed=SCHEDULES.missed + found.missed,
                state="active" if found.following is not None else "finished",
            )
        )
        return len(found.moments)

    async def claim(self, worker: str, *, lease_seconds: float, max_attempts: int) -> Job | None:
        """Take the job that has waited longest, or one whose process is gone."""

        async def work(connection: AsyncConnection) -> Job | None:
            while True:
                row = (await connection.execute(_claimable())).mappings().first()
                if row is None:
                    return None
                now = await _now(connection)
                attempts = _ended(row, "lost", LOST, now)
                if failures(attempts) >= max_attempts:
                    detail = f"begun {len(attempts)} times and never brought to an end"
                    values = {"status": "failed", "error": {"code": EXHAUSTED, "detail": detail}}
                    await _write(connection, row["id"], attempts, finished_at=now, **values)
                    continue
                number = len(attempts) + 1
                attempts.append(Attempt(number=number, worker=worker, started_at=now))
                lease = now + timedelta(seconds=lease_seconds)
                await _write(
                    connection,
                    row["id"],
                    attempts,
                    status="running",
                    worker=worker,
                    lease_until=lease,
                )
                taken = {"status": "running", "attempts": tuple(attempts)}
                return _job(row).model_copy(update=taken)

        return await self._database.run(work)

    async def beat(self, job: Job, *, lease_seconds: float) -> bool:
        """Give a sign of life; False when the job is no longer this attempt's to run."""
        lease = func.now() + timedelta(seconds=lease_seconds)
        beat = update(training_jobs).where(*_held(job)).values(lease_until=lease)
        return await self._database.write(beat) == 1

    async def finish(
        self,
        job: Job,
        status: JobStatus,
        *,
        outcome: AttemptOutcome,
        result: JsonObject | None = None,
        error: JsonObject | None = None,
        wait_seconds: float = 0.0,
    ) -> bool:
        """End this attempt; with the status ``queued`` the job waits for another one.

        False, and nothing written, when the job is no longer this attempt's.
        """
        # What a server said is in them, and PostgreSQL cannot hold every text.
        told, kept = made_storable(error), made_storable(result)

        async def work(connection: AsyncConnection) -> bool:
            statement = select(training_jobs).where(*_held(job)).with_for_update()
            row = (await connection.execute(statement)).mappings().first()
            if row is None:
                return False
            now = await _now(connection)
            detail = str(object_of(told).get("detail", ""))
            over = status != "queued"
            await _write(
                connection,
                job.id,
                _ended(row, outcome, detail, now),
                status=status,
                worker=None,
                lease_until=None,
                result=kept,
                error=told if over else None,
                finished_at=now if over else None,
                not_before=now + timedelta(seconds=wait_seconds),
            )
            return True

        return await self._database.run(work)

    async def job(self, tenant: str, job_id: UUID) -> Job | None:
        mine = and_(JOBS.tenant == tenant, JOBS.id == job_id)
        row = await self._database.row(select(training_jobs).where(mine))
        return None if row is None else _job(row)

    async def jobs(
        self, tenant: str, schedule_id: UUID | None, *, limit: int, before: UUID | None
    ) -> list[Job]:
        """The newest first, from below ``before``."""
        statement = select(training_jobs).where(JOBS.tenant == tenant)
        if schedule_id is not None:
            statement = statement.where(JOBS.schedule_id == schedule_id)
        if before is not None:
            statement = statement.where(JOBS.id < before)
        found = await self._database.rows(statement.order_by(JOBS.id.desc()).limit(limit))
        return [_job(row) for row in found]


def failures(attempts: Sequence[Attempt]) -> int:
    """How often a job has failed; attempts that a stopping process gave back do not count."""
    return sum(attempt.outcome in {"lost", "failed"} for attempt in attempts)


def _claimable() -> Select[tuple[object, ...]]:
    waits = and_(
        JOBS.status == "queued",
        JOBS.not_before <= func.now(),
        # A paused schedule's jobs wait; those of a finished one are its last.
        SCHEDULES.state.in_(["active", "finished"]),
    )
    left = and_(JOBS.status == "running", JOBS.lease_until < func.now())
    return (
        select(training_jobs)
        .join(training_schedules, SCHEDULES.id == JOBS.schedule_id)
        .where(or_(waits, left))
        .order_by(JOBS.not_before, JOBS.id)
        .limit(1)
        .with_for_update(of=training_jobs, skip_locked=True)
    )


def _held(job: Job) -> tuple[ColumnElement[bool], ...]:
    return (
        JOBS.id == job.id,
        JOBS.status == "running",
        func.jsonb_array_length(JOBS.attempts) == len(job.attempts),
    )


async def _cancel_jobs(connection: AsyncConnection, schedule_id: UUID) -> None:
    opened = and_(JOBS.schedule_id == schedule_id, JOBS.status.in_(["queued", "running"]))
    statement = select(training_jobs).where(opened).with_for_update()
    now = await _now(connection)
    for row in (await connection.execute(statement)).mappings().all():
        attempts = _ended(row, "cancelled", "the schedule was cancelled", now)
        values = {"status": "cancelled", "lease_until": None, "finished_at": now}
        await _write(connection, row["id"], attempts, **values)


async def _now(connection: AsyncConnection) -> datetime:
    """The moment by the clock that all replicas share; that of the transaction's begin."""
    found: datetime = (await connection.execute(select(func.now()))).scalar_one()
    return found


async def _write(
    connection: AsyncConnection, job_id: UUID, attempts: list[Attempt], **values: object
) -> None:
    plain = [_plain(attempt) for attempt in attempts]
    statement = update(training_jobs).where(JOBS.id == job_id)
    await connection.execute(statement.values(attempts=plain, **values))


def _ended(row: RowMapping, outcome: AttemptOutcome, detail: str, at: datetime) -> list[Attempt]:
    """The attempts of a job, the one that is still open ended so."""
    ended = {"ended_at": at, "outcome": outcome, "detail": detail}
    return [
        each.model_copy(update=ended) if each.outcome == "running" else each
        for each in (Attempt.model_validate(plain) for plain in row["attempts"])
    ]


def _plain(attempt: Attempt) -> JsonObject:
    return attempt.model_dump(mode="json")


def _schedule(row: RowMapping) -> Schedule:
    return Schedule.model_validate({name: row[name] for name in Schedule.model_fields})


def _job(row: RowMapping) -> Job:
    return Job.model_validate({name: row[name] for name in Job.model_fields})
