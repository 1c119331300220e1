"""Tasks in PostgreSQL: a head row each, and their events, messages and artifacts, only added to.

The head's ``version`` is the number of the task's last event. A write names the version it was
made from; of two writers that name the same one, the second changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Executable,
    Index,
    RowMapping,
    ScalarSelect,
    Select,
    Table,
    Text,
    and_,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.sql.elements import ColumnElement

from agentcore.a2a_protocol.models.agent import AgentStatus
from agentcore.a2a_protocol.models.task import (
    RUNNING,
    TERMINAL,
    Owner,
    TaskEvent,
    TaskFilter,
    TaskRecord,
    TaskState,
)
from agentcore.a2a_protocol.tasks.snapshot import TaskSnapshot, joined
from agentcore.a2a_protocol.tasks.writes.store import (
    Beginning,
    Change,
    append_all,
    append_within,
    begin_all,
    report_all,
)
from agentcore.kit import jsonvalue
from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.jsonvalue import JsonObject, objects_of

# As the index says it, word for word: so the database sees that the index answers.
ENDED_LOGGED = text(
    "logged AND state IN ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', "
    "'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED')"
)
tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("context_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("reported_at", DateTime(timezone=True)),
    Column("logged", Boolean, nullable=False, server_default=true()),
    Index("ix_tasks_owner_updated_at", "tenant", "owner", "updated_at", "task_id"),
    Index("ix_tasks_unreported", "lease_until", postgresql_where=text("reported_at IS NULL")),
    Index("ix_tasks_updated_at", "updated_at"),
    Index("ix_tasks_ended_logged", "updated_at", postgresql_where=ENDED_LOGGED),
)
log = Table(
    "task_events",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text),
    Column("body", Text, nullable=False),
)
said = Table(
    "task_messages",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text),
    Column("body", Text, nullable=False),
    Index("uq_task_messages_key", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
)
made = Table(
    "task_artifacts",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("artifact_id", Text, nullable=False),
    Column("body", Text, nullable=False),
)

SWEEP = 100
MOST_EVENTS = 500
# Whoever asks for a hundred large tasks gets them in several pages.
PAGE_BYTES = 8 * 1024 * 1024
# A hosted agent has a row per tenant, any other its own.
STANDING = text("""
SELECT status FROM agents
 WHERE agent_id IN (
    CAST(:agent_id AS text), CAST(:agent_id AS text) || '.' || CAST(:tenant AS text))
   AND tenant = CAST(:tenant AS text)
   AND CAST(:agent_id AS text) IN (agent_id, handler)
""")


@dataclass(frozen=True, slots=True)
class StoredTask:
    record: TaskRecord
    snapshot: TaskSnapshot


@dataclass(frozen=True, slots=True)
class TaskPage:
    """``total`` tasks match; with ``more``, some of them come behind these."""

    tasks: list[StoredTask]
    total: int
    more: bool


class VersionedTaskStore:
    """Every read on behalf of a caller names the owner: another's task is not there at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, new: Beginning) -> bool:
        """Whether it was written; False when its key was used before, or its agent takes none."""
        return bool(await begin_all(self._database, [new]))

    async def standing(self, agent_id: str, tenant: str) -> AgentStatus:
        """The state of a task's agent in the registry; one that is not there is active."""
        row = await self._database.row(STANDING.bindparams(agent_id=agent_id, tenant=tenant))
        return AgentStatus.ACTIVE if row is None else AgentStatus(row["status"])

    async def append(self, change: Change) -> bool:
        """Write ``change`` unless somebody else has written since; whether it was written."""
        return bool(await append_all(self._database, [change]))

    async def get(self, task_id: str, owner: Owner) -> TaskRecord | None:
        return await self._record(select(tasks).where(_of(task_id, owner)))

    async def peek(self, task_id: str) -> TaskRecord | None:
        """The task whoever owns it: for those that :meth:`get` has already let in."""
        return await self._record(select(tasks).where(tasks.c.task_id == task_id))

    async def said(self, key: str) -> TaskRecord | None:
        """The task to which a message of that key belongs."""
        named = select(said.c.task_id).where(said.c.key == key).scalar_subquery()
        return await self._record(select(tasks).where(tasks.c.task_id == named))

    async def whole(
        self, task_id: str, owner: Owner, *, history: int | None = None, artifacts: bool = True
    ) -> StoredTask | None:
        """The task with all that belongs to it, or with the last ``history`` of its messages."""
        query = select(tasks, *_whole(history, artifacts=artifacts)).where(_of(task_id, owner))
        row = await self._database.row(query)
        return None if row is None else _stored(row)

    async def events(self, task_id: str, after: int, limit: int = MOST_EVENTS) -> list[TaskEvent]:
        """The log behind the event ``after``, oldest first; old logs of ended tasks are gone."""
        query = (
            select(log)
            .where(log.c.task_id == task_id, log.c.seq > after)
            .order_by(log.c.seq)
            .limit(limit)
        )
        return [_event(row) for row in await self._database.rows(query)]

    async def page(self, owner: Owner, wanted: TaskFilter) -> TaskPage:
        """The newest tasks that match, as many as one answer may hold."""
        matching = _matching(owner, wanted)
        sizes = select(tasks.c.task_id, _size(wanted).label("size")).where(matching)
        if wanted.after is not None:
            sizes = sizes.where(tuple_(tasks.c.updated_at, tasks.c.task_id) < wanted.after)
        newest = (tasks.c.updated_at.desc(), tasks.c.task_id.desc())
        sizes = sizes.order_by(*newest).limit(wanted.limit + 1)
        query = select(tasks, *_whole(wanted.history, artifacts=wanted.artifacts))

        async def work(connection: AsyncConnection) -> TaskPage:
            total = await connection.scalar(select(func.count()).select_from(tasks).where(matching))
            known = (await connection.execute(sizes)).all()
            page = known[: wanted.limit]
            sums = accumulate(int(row.size) for row in page)
            fitting = sum(size <= PAGE_BYTES for size in sums)
            chosen = [row.task_id for row in page[: max(1, fitting)]]
            mine = query.where(tasks.c.task_id.in_(chosen)).order_by(*newest)
            found = [_stored(row) for row in (await connection.execute(mine)).mappings()]
            more = bool(found) and len(chosen) < len(known)
            return TaskPage(found, int(total or 0), more=more)

        return await self._database.run(work)

    async def renew(
        self, worker: str, task_ids: Collection[str], until: datetime
    ) -> dict[str, int]:
        """Extend the leases of ``worker``; versions of those that it still holds."""
        query = (
            update(tasks)
            .where(
                tasks.c.task_id.in_(task_ids),
                tasks.c.lease_owner == worker,
                tasks.c.reported_at.is_(None),
            )
            .values(lease_until=until)
            .returning(tasks.c.task_id, tasks.c.version)
        )
        return {row["task_id"]: row["version"] for row in await self._database.rows(query)}

    async def versions(self, task_ids: Collection[str]) -> dict[str, int]:
        query = select(tasks.c.task_id, tasks.c.version).where(tasks.c.task_id.in_(task_ids))
        return {row["task_id"]: row["version"] for row in await self._database.rows(query)}

    async def lost(
        self, now: datetime, finish: Callable[[TaskRecord], Change], *, worker: str | None = None
    ) -> list[str]:
        """Write ``finish`` over running tasks whose lease is over, or that ``worker`` holds.

        Returns the ids of those tasks; there may be more of them than one call takes.
        """
        over = tasks.c.lease_until < now if worker is None else tasks.c.lease_owner == worker
        running = and_(tasks.c.state.in_(RUNNING), tasks.c.reported_at.is_(None), over)

        async def work(connection: AsyncConnection) -> list[str]:
            query = select(tasks).where(running).with_for_update(skip_locked=True).limit(SWEEP)
            found = [_task(row) for row in (await connection.execute(query)).mappings()]
            if found:
                await append_within(connection, [finish(record) for record in found])
            return [record.task_id for record in found]

        return await self._database.run(work)

    async def reported(self, task_id: str) -> None:
        """All who are told of its end have heard of it."""
        await report_all(self._database, [task_id])

    async def claim(
        self,
        worker: str,
        now: datetime,
        until: datetime,
        limit: int = SWEEP,
        *,
        task_id: str | None = None,
        mine: bool = False,
    ) -> list[TaskRecord]:
        """Ended tasks that have not been reported, and that ``worker`` shall report ``until`` then.

        Those that nobody is reporting any more, and with ``mine`` or of one task its own as well.
        """
        over = or_(tasks.c.lease_until.is_(None), tasks.c.lease_until < now)
        if mine or task_id is not None:
            over = or_(over, tasks.c.lease_owner == worker)
        which = [tasks.c.state.in_(TERMINAL), tasks.c.reported_at.is_(None), over]
        if task_id is not None:
            which.append(tasks.c.task_id == task_id)
        free = select(tasks.c.task_id).where(*which).with_for_update(skip_locked=True).limit(limit)
        query = update(tasks).where(tasks.c.task_id.in_(free))
        query = query.values(lease_owner=worker, lease_until=until)
        return [_task(row) for row in await self._database.rows(query.returning(tasks))]

    async def prune(self, *, tasks_before: datetime, events_before: datetime) -> int:
        """Delete tasks that have rested that long, and the logs of those that have ended.

        Returns how many tasks it was about; call again until there are none. Each call is short
        and reads the oldest by an index, however many tasks there are.
        """

        async def work(connection: AsyncConnection) -> int:
            gone = list((await connection.execute(rested(tasks_before))).scalars())
            for table in (log, said, made, tasks):
                await connection.execute(delete(table).where(table.c.task_id.in_(gone)))
            past = list((await connection.execute(ended_logged(events_before))).scalars())
            await connection.execute(delete(log).where(log.c.task_id.in_(past)))
            done = update(tasks).where(tasks.c.task_id.in_(past)).values(logged=False)
            await connection.execute(done)
            return len(gone) + len(past)

        return await self._database.run(work)

    async def _record(self, query: Executable) -> TaskRecord | None:
        row = await self._database.row(query)
        return None if row is None else _task(row)


def rested(before: datetime) -> Select[tuple[str]]:
    """The oldest tasks that nothing was written to since; those at work are looked after."""
    query = select(tasks.c.task_id).where(
        tasks.c.updated_at < before, tasks.c.state.not_in(RUNNING)
    )
    return query.order_by(tasks.c.updated_at).limit(SWEEP).with_for_update(skip_locked=True)


def ended_logged(before: datetime) -> Select[tuple[str]]:
    """The oldest ended tasks whose log is still there."""
    query = select(tasks.c.task_id).where(tasks.c.updated_at < before, ENDED_LOGGED)
    return query.order_by(tasks.c.updated_at).limit(SWEEP).with_for_update(skip_locked=True)


def _whole(history: int | None, *, artifacts: bool) -> list[ColumnElement[str]]:
    """The task's messages and artifacts, as JSON lists in columns of those names."""
    # The message of the current status is among the rows, and is no history yet.
    most = None if history is None else history + 1
    return [_list(said, most).label("history"), _list(made, None if artifacts else 0).label("made")]


def _size(wanted: TaskFilter) -> ColumnElement[int]:
    """The bytes of what is read of a task, at most."""
    read = [said] if wanted.history != 0 else []
    parts = [
        select(func.coalesce(func.sum(func.octet_length(rows.c.body)), 0))
        .where(rows.c.task_id == tasks.c.task_id)
        .correlate(tasks)
        .scalar_subquery()
        for rows in [*read, *([made] if wanted.artifacts else [])]
    ]
    return sum(parts, start=literal(0))


def _list(rows: Table, most: int | None) -> ScalarSelect[str]:
    newest = (
        select(rows.c.seq, rows.c.body)
        .where(rows.c.task_id == tasks.c.task_id)
        .order_by(rows.c.seq.desc())
        .limit(most)
        .correlate(tasks)
        .subquery()
    )
    comma: ColumnElement[str] = literal_column("','")
    bodies = func.string_agg(newest.c.body, aggregate_order_by(comma, newest.c.seq))
    return select(func.concat("[", bodies, "]")).scalar_subquery()


def _of(task_id: str, owner: Owner) -> ColumnElement[bool]:
    return and_(
        tasks.c.task_id == task_id, tasks.c.tenant == owner.tenant, tasks.c.owner == owner.subject
    )


def _matching(owner: Owner, wanted: TaskFilter) -> ColumnElement[bool]:
    conditions = [tasks.c.tenant == owner.tenant, tasks.c.owner == owner.subject]
    if wanted.state is not None:
        conditions.append(tasks.c.state == wanted.state.value)
    if wanted.context_id is not None:
        conditions.append(tasks.c.context_id == wanted.context_id)
    if wanted.agent_id is not None:
        conditions.append(tasks.c.agent_id == wanted.agent_id)
    if wanted.updated_since is not None:
        conditions.append(tasks.c.updated_at >= wanted.updated_since)
    return and_(*conditions)


def _stored(row: RowMapping) -> StoredTask:
    record = _task(row)
    return StoredTask(
        record,
        TaskSnapshot(
            head=record.body,
            version=record.version,
            history=objects_of(jsonvalue.loads(row["history"])),
            artifacts=joined(objects_of(jsonvalue.loads(row["made"]))),
        ),
    )


def _event(row: RowMapping) -> TaskEvent:
    state = row["state"]
    return TaskEvent(
        seq=row["seq"],
        state=None if state is None else TaskState(state),
        body=str(row["body"]).encode(),
    )


def _task(row: RowMapping) -> TaskRecord:
    body: JsonObject = row["body"]
    return TaskRecord(
        task_id=row["task_id"],
        owner=Owner(tenant=row["tenant"], subject=row["owner"]),
        agent_id=row["agent_id"],
        context_id=row["context_id"],
        state=TaskState(row["state"]),
        version=row["version"],
        body=body,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        lease_owner=row["lease_owner"],
        lease_until=row["lease_until"],
    )
