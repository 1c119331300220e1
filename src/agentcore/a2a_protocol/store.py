"""Agents and tasks in PostgreSQL. Every read on behalf of a caller names the caller's tenant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Executable,
    Index,
    RowMapping,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from agentcore.a2a_protocol.errors import AgentIdTaken
from agentcore.a2a_protocol.models.agent_card import AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import (
    RUNNING,
    TERMINAL,
    Owner,
    TaskFilter,
    TaskRecord,
    TaskState,
)
from agentcore.kit.db import Database, metadata
from agentcore.kit.jsonvalue import JsonObject

agents = Table(
    "agents",
    metadata,
    Column("agent_id", String(255), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("capabilities", JSONB, nullable=False),
    Column("skills", JSONB, nullable=False),
    Column("endpoint", JSONB(none_as_null=True)),
    Column("card", JSONB(none_as_null=True)),
    Column("metadata", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("last_seen", DateTime(timezone=True), nullable=False),
    Index("ix_agents_tenant_created_at", "tenant", "created_at", "agent_id"),
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
    Index("ix_tasks_owner_updated_at", "tenant", "owner", "updated_at", "task_id"),
    Index("ix_tasks_unreported", "lease_until", postgresql_where=text("reported_at IS NULL")),
)

SWEEP = 100


class AgentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, record: AgentRecord) -> tuple[AgentRecord, bool]:
        """Insert ``record``, or replace the row of the same owner.

        Returns:
            The stored record, and whether it was not active before.

        Raises:
            AgentIdTaken: the id belongs to another owner.
        """

        async def work(connection: AsyncConnection) -> tuple[AgentRecord, bool]:
            fresh = upsert(agents).values(_agent_values(record)).on_conflict_do_nothing()
            if (await connection.execute(fresh.returning(agents.c.agent_id))).first():
                return record, True
            mine = agents.c.agent_id == record.agent_id
            found = await connection.execute(select(agents).where(mine).with_for_update())
            before = _agent(found.mappings().one())
            if before.owner != record.owner:
                raise AgentIdTaken(record.agent_id)
            after = replace(record, created_at=before.created_at)
            await connection.execute(update(agents).where(mine).values(_agent_values(after)))
            return after, before.status is not AgentStatus.ACTIVE

        return await self._database.run(work)

    async def ensure(self, record: AgentRecord) -> bool:
        """Insert ``record`` unless the id exists; whether it was inserted."""
        fresh = upsert(agents).values(_agent_values(record)).on_conflict_do_nothing()
        return await self._database.write(fresh) == 1

    async def find(self, agent_id: str) -> AgentRecord | None:
        """Whoever owns it: the caller of this decides what may be shown."""
        row = await self._database.row(select(agents).where(agents.c.agent_id == agent_id))
        return None if row is None else _agent(row)

    async def page(
        self, tenant: str, *, limit: int, after: tuple[datetime, str] | None
    ) -> list[AgentRecord]:
        """Newest first, terminated ones included."""
        position = tuple_(agents.c.created_at, agents.c.agent_id)
        query = select(agents).where(agents.c.tenant == tenant)
        if after is not None:
            query = query.where(position < after)
        query = query.order_by(agents.c.created_at.desc(), agents.c.agent_id.desc())
        return await self._agents(query.limit(limit))

    async def active(self, tenant: str) -> list[AgentRecord]:
        mine = and_(agents.c.tenant == tenant, agents.c.status == AgentStatus.ACTIVE.value)
        return await self._agents(select(agents).where(mine).order_by(agents.c.agent_id))

    async def terminate(self, agent_id: str, now: datetime) -> AgentRecord | None:
        """The agent as it is now; None when it was not active."""
        row = await self._database.row(
            update(agents)
            .where(agents.c.agent_id == agent_id, agents.c.status == AgentStatus.ACTIVE.value)
            .values(status=AgentStatus.TERMINATED.value, updated_at=now)
            .returning(agents)
        )
        return None if row is None else _agent(row)

    async def _agents(self, query: Executable) -> list[AgentRecord]:
        return [_agent(row) for row in await self._database.rows(query)]


@dataclass(frozen=True, slots=True)
class Written:
    """``worker`` holds the task's lease, if anybody does."""

    version: int
    worker: str | None


class TaskRows:
    """One row per task. ``version`` counts writes; a write names the version it was made from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, record: TaskRecord) -> bool:
        """False when the id exists already, whoever owns it."""
        fresh = upsert(tasks).values(_task_values(record)).on_conflict_do_nothing()
        return await self._database.write(fresh) == 1

    async def update(self, record: TaskRecord) -> Written | None:
        """Write ``record``, whose version is one above the stored one; None when it is not."""
        return await self._write(
            record, and_(_of(record.task_id, record.owner), tasks.c.version == record.version - 1)
        )

    async def cancel(self, record: TaskRecord) -> Written | None:
        """Write ``record`` over any state that has not ended; None if it had."""
        alive = and_(_of(record.task_id, record.owner), tasks.c.state.not_in(TERMINAL))
        return await self._write(record, alive)

    async def get(self, task_id: str, owner: Owner) -> TaskRecord | None:
        found = await self._select(select(tasks).where(_of(task_id, owner)))
        return found[0] if found else None

    async def peek(self, task_id: str) -> TaskRecord | None:
        """The task whoever owns it: for followers that :meth:`get` has already let in."""
        found = await self._select(select(tasks).where(tasks.c.task_id == task_id))
        return found[0] if found else None

    async def page(self, owner: Owner, wanted: TaskFilter) -> tuple[list[TaskRecord], int]:
        """The tasks of one page, and how many match in all."""
        matching = _matching(owner, wanted)
        position = tuple_(tasks.c.updated_at, tasks.c.task_id)
        query = select(tasks).where(matching)
        if wanted.after is not None:
            query = query.where(position < wanted.after)
        query = query.order_by(tasks.c.updated_at.desc(), tasks.c.task_id.desc())

        async def work(connection: AsyncConnection) -> tuple[list[TaskRecord], int]:
            total = await connection.scalar(select(func.count()).select_from(tasks).where(matching))
            found = await connection.execute(query.limit(wanted.limit))
            return [_task(row) for row in found.mappings()], int(total or 0)

        return await self._database.run(work)

    async def delete(self, task_id: str, owner: Owner) -> None:
        await self._database.write(delete(tasks).where(_of(task_id, owner)))

    async def renew(self, worker: str, task_ids: Collection[str], until: datetime) -> set[str]:
        """Extend the leases of ``worker``; those not returned have ended or found another one."""
        kept = await self._database.rows(
            update(tasks)
            .where(
                tasks.c.task_id.in_(task_ids),
                tasks.c.lease_owner == worker,
                tasks.c.state.not_in(TERMINAL),
            )
            .values(lease_until=until)
            .returning(tasks.c.task_id)
        )
        return {row["task_id"] for row in kept}

    async def fail_lost(
        self,
        now: datetime,
        finish: Callable[[TaskRecord], TaskRecord],
        *,
        worker: str | None = None,
    ) -> None:
        """Write ``finish`` over running tasks whose lease is over, or that ``worker`` holds."""
        lost = tasks.c.lease_until < now if worker is None else tasks.c.lease_owner == worker
        running = and_(tasks.c.state.in_(RUNNING), tasks.c.reported_at.is_(None), lost)

        async def work(connection: AsyncConnection) -> None:
            query = select(tasks).where(running).with_for_update(skip_locked=True).limit(SWEEP)
            for row in (await connection.execute(query)).mappings().all():
                record = finish(_task(row))
                mine = tasks.c.task_id == record.task_id
                await connection.execute(update(tasks).where(mine).values(_task_values(record)))

        await self._database.run(work)

    async def claim(
        self, now: datetime, *, task_id: str | None = None, worker: str | None = None
    ) -> list[TaskRecord]:
        """Ended tasks that nobody has reported yet, now marked: each goes to one caller only.

        Of one task, of one worker, or those whose worker is not going to report them any more.
        """
        if task_id is not None:
            which = tasks.c.task_id == task_id
        elif worker is not None:
            which = tasks.c.lease_owner == worker
        else:
            which = or_(tasks.c.lease_until.is_(None), tasks.c.lease_until < now)
        unreported = and_(which, tasks.c.state.in_(TERMINAL), tasks.c.reported_at.is_(None))
        query = update(tasks).where(unreported).values(reported_at=now).returning(tasks)
        return await self._select(query)

    async def _write(self, record: TaskRecord, condition: ColumnElement[bool]) -> Written | None:
        values = _task_values(record) | {"version": tasks.c.version + 1}
        for kept in ("task_id", "tenant", "owner", "created_at", "reported_at"):
            del values[kept]
        if record.state in TERMINAL:
            # The worker's lease says until when its report may still be on the way.
            del values["lease_owner"], values["lease_until"]
        query = update(tasks).where(condition).values(values)
        row = await self._database.row(query.returning(tasks.c.version, tasks.c.lease_owner))
        return None if row is None else Written(version=row["version"], worker=row["lease_owner"])

    async def _select(self, query: Executable) -> list[TaskRecord]:
        return [_task(row) for row in await self._database.rows(query)]


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
    if wanted.updated_since is not None:
        conditions.append(tasks.c.updated_at >= wanted.updated_since)
    return and_(*conditions)


def _task_values(record: TaskRecord) -> dict[str, object]:
    return {
        "task_id": record.task_id,
        "tenant": record.owner.tenant,
        "owner": record.owner.subject,
        "agent_id": record.agent_id,
        "context_id": record.context_id,
        "state": record.state.value,
        "version": record.version,
        "body": record.body,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "lease_owner": record.lease_owner,
        "lease_until": record.lease_until,
        "reported_at": record.reported_at,
    }


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
        reported_at=row["reported_at"],
    )


def _agent_values(record: AgentRecord) -> dict[str, object]:
    return {
        "agent_id": record.agent_id,
        "tenant": record.owner.tenant,
        "owner": record.owner.subject,
        "name": record.name,
        "version": record.version,
        "status": record.status.value,
        "description": record.description,
        "capabilities": list(record.capabilities),
        "skills": list(record.skills),
        "endpoint": record.endpoint,
        "card": record.card,
        "metadata": record.metadata,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "last_seen": record.last_seen,
    }


def _agent(row: RowMapping) -> AgentRecord:
    return AgentRecord(
        agent_id=row["agent_id"],
        owner=Owner(tenant=row["tenant"], subject=row["owner"]),
        name=row["name"],
        version=row["version"],
        status=AgentStatus(row["status"]),
        description=row["description"],
        capabilities=tuple(row["capabilities"]),
        skills=tuple(row["skills"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_seen=row["last_seen"],
        endpoint=row["endpoint"],
        card=row["card"],
        metadata=row["metadata"],
    )
