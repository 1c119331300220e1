"""Agents and tasks in PostgreSQL. Every read on behalf of a caller names the caller's tenant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import (
    Column,
    DateTime,
    Executable,
    Index,
    RowMapping,
    String,
    Table,
    Text,
    and_,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from agentcore.a2a_protocol.errors import AgentIdTaken
from agentcore.a2a_protocol.models.agent_card import AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import RUNNING, Owner
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.db import Database, metadata

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

    async def load(self, agent_ids: Collection[str]) -> dict[str, int]:
        """How many tasks each of these works on now, if any."""
        # Tasks that run are unreported: the index of those few is all that is read.
        running = and_(
            tasks.c.reported_at.is_(None),
            tasks.c.state.in_(RUNNING),
            tasks.c.agent_id.in_(agent_ids),
        )
        query = select(tasks.c.agent_id, func.count().label("open")).where(running)
        rows = await self._database.rows(query.group_by(tasks.c.agent_id))
        return {row["agent_id"]: row["open"] for row in rows}

    async def _agents(self, query: Executable) -> list[AgentRecord]:
        return [_agent(row) for row in await self._database.rows(query)]


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
