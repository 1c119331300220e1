"""Agents in PostgreSQL. Every read on behalf of a caller names the caller's tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Executable,
    ForeignKey,
    Identity,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    and_,
    collate,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from agentcore.a2a_protocol.discovery import terms
from agentcore.a2a_protocol.errors import AgentIdTaken, TooManyAgents
from agentcore.a2a_protocol.models.agent import (
    AgentHealth,
    AgentRecord,
    AgentStatus,
    Happening,
    Step,
)
from agentcore.a2a_protocol.models.task import RUNNING, Owner
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection

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
    Column("handler", Text),
    Column("changed_at", DateTime(timezone=True)),
    Column("heartbeat_seconds", Double),
    Column("expires_at", DateTime(timezone=True)),
    Column("health", Text, nullable=False, server_default="unknown"),
    Column("health_reason", Text, nullable=False, server_default=""),
    Column("card_url", Text),
    Column("card_etag", Text, nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("checked_at", DateTime(timezone=True)),
    Column("check_at", DateTime(timezone=True)),
    Column("terms", ARRAY(Text)),
    Index("ix_agents_tenant_created_at", "tenant", "created_at", "agent_id"),
    Index("ix_agents_tenant_status", "tenant", "status"),
    Index("ix_agents_terms", "terms", postgresql_using="gin"),
    Index("ix_agents_check_at", "check_at"),
    Index("ix_agents_draining", "changed_at", postgresql_where=text("status = 'draining'")),
    Index("ix_agents_without_terms", "agent_id", postgresql_where=text("terms IS NULL")),
)


# What a search goes by is of no use to its reader.
WHOLE = [column for column in agents.c if column.name != "terms"]
# In the order that Python has: pages are merged there.
BY_ID = collate(agents.c.agent_id, "C")
events = Table(
    "agent_events",
    metadata,
    Column("event_id", BigInteger, Identity(), primary_key=True),
    Column(
        "agent_id",
        String(255),
        ForeignKey(agents.c.agent_id, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("what", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("tell_at", DateTime(timezone=True)),
    Index("ix_agent_events_agent_id", "agent_id", "event_id"),
    Index("ix_agent_events_at", "at"),
    Index("ix_agent_events_tell_at", "tell_at", postgresql_where=text("tell_at IS NOT NULL")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line for an agent's log; listeners hear of it unless ``tell_at`` is None.

    ``tell_at`` is when another process takes the telling over from the one that writes it.
    """

    what: str
    by: str
    at: datetime
    reason: str = ""
    tell_at: datetime | None = None


# Names the locks of this kind among those of the database.
LIMITED = "agentcore.agents"


class AgentStore:
    """A tenant has at most ``most_agents`` of its own, besides those that the service hosts."""

    def __init__(self, database: Database, *, most_agents: int = 10_000) -> None:
        self._database = database
        self._most_agents = most_agents

    async def put(self, record: AgentRecord, entry: Entry) -> tuple[AgentRecord, int | None]:
        """Insert ``record``, or replace the row of the same owner, whose state stays as it is.

        Only a terminated agent takes on the state of ``record``: it begins anew.

        Returns:
            The stored record, and the number of the log's line; none where it was there before.

        Raises:
            AgentIdTaken: the id belongs to another owner.
            TooManyAgents: the tenant has as many as it may have.
        """

        async def work(connection: AsyncConnection) -> tuple[AgentRecord, int | None]:
            if await self._inserted(connection, record):
                return record, await _written(connection, _line(record, entry, ""))
            mine = agents.c.agent_id == record.agent_id
            found = await connection.execute(select(*WHOLE).where(mine).with_for_update())
            before = agent_of(found.mappings().one())
            if before.owner != record.owner:
                raise AgentIdTaken(record.agent_id)
            after = _renewed(record, before)
            await connection.execute(update(agents).where(mine).values(agent_values(after)))
            if before.status is not AgentStatus.TERMINATED:
                return after, None
            return after, await _written(connection, _line(after, entry, before.status.value))

        return await self._database.run(work)

    async def ensure(self, record: AgentRecord, entry: Entry) -> int | None:
        """Insert ``record`` unless the id exists; the number of the log's line if it did not."""

        async def work(connection: AsyncConnection) -> int | None:
            if not await self._inserted(connection, record):
                return None
            return await _written(connection, _line(record, entry, ""))

        return await self._database.run(work)

    async def find(self, agent_id: str) -> AgentRecord | None:
        """Whoever owns it: the caller of this decides what may be shown."""
        row = await self._database.row(select(*WHOLE).where(agents.c.agent_id == agent_id))
        return None if row is None else agent_of(row)

    async def page(
        self,
        tenant: str,
        *,
        limit: int,
        after: tuple[datetime, str] | None,
        status: AgentStatus | None = None,
    ) -> list[AgentRecord]:
        """Newest first, terminated ones included unless a ``status`` is asked for."""
        position = tuple_(agents.c.created_at, agents.c.agent_id)
        query = select(*WHOLE).where(agents.c.tenant == tenant)
        if status is not None:
            query = query.where(agents.c.status == status.value)
        if after is not None:
            query = query.where(position < after)
        query = query.order_by(agents.c.created_at.desc(), agents.c.agent_id.desc())
        return await self._agents(query.limit(limit))

    async def active(self, tenant: str, *, limit: int | None = None) -> list[AgentRecord]:
        mine = and_(agents.c.tenant == tenant, agents.c.status == AgentStatus.ACTIVE.value)
        return await self._agents(
            select(*WHOLE).where(mine).order_by(agents.c.agent_id).limit(limit)
        )

    async def move(self, agent_id: str, step: Step, entry: Entry) -> tuple[AgentRecord, int] | None:
        """Take the step and log it; None when the agent was in none of its first states.

        Returns the agent as it is now, and the number of its log's line.
        """

        async def work(connection: AsyncConnection) -> tuple[AgentRecord, int] | None:
            mine = agents.c.agent_id == agent_id
            query = select(agents.c.status).where(mine).with_for_update()
            status = await connection.scalar(query)
            if status not in step.before:
                return None
            values = {"status": step.after.value, "updated_at": entry.at, "changed_at": entry.at}
            changed = update(agents).where(mine).values(values).returning(*WHOLE)
            agent = agent_of((await connection.execute(changed)).mappings().one())
            return agent, await _written(connection, _line(agent, entry, str(status)))

        return await self._database.run(work)

    async def erase(self, agent_id: str) -> bool:
        """Remove a terminated agent and what belongs to it; False where there is none."""
        ended = agents.c.status == AgentStatus.TERMINATED.value
        query = delete(agents).where(agents.c.agent_id == agent_id, ended)
        return await self._database.write(query) == 1

    async def note(self, agent: AgentRecord, entry: Entry) -> None:
        """Log what has happened to an agent besides its state."""
        line = _line(agent, entry, agent.status.value)
        await self._database.run(lambda connection: _written(connection, line))

    async def log(self, agent_id: str, limit: int) -> list[Happening]:
        """The last lines of an agent's log, newest first."""
        query = select(events).where(events.c.agent_id == agent_id)
        query = query.order_by(events.c.event_id.desc()).limit(limit)
        return [happening_of(row) for row in await self._database.rows(query)]

    async def told(self, event_id: int, *, again: datetime | None = None) -> None:
        """Listeners have heard of it, or shall ``again`` then."""
        query = update(events).where(events.c.event_id == event_id).values(tell_at=again)
        await self._database.write(query)

    async def beat(self, agent_id: str, now: datetime, until: datetime | None) -> bool:
        """Note that the agent was heard; False when it is terminated, or not there."""
        mine = and_(agents.c.agent_id == agent_id, agents.c.status != AgentStatus.TERMINATED.value)
        query = update(agents).where(mine).values(last_seen=now, expires_at=until)
        return await self._database.write(query) == 1

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

    async def _inserted(self, connection: AsyncConnection, record: AgentRecord) -> bool:
        """False where the id is there already."""
        fresh = upsert(agents).values(agent_values(record)).on_conflict_do_nothing()
        if (await connection.execute(fresh)).rowcount == 0:
            return False
        if record.handler is None:
            # One after the other: those who register at once do not see each other's.
            tenant = record.owner.tenant
            key = func.hashtextextended(f"{LIMITED}:{tenant}", 0)
            await connection.execute(select(func.pg_advisory_xact_lock(key)))
            mine = and_(agents.c.tenant == tenant, agents.c.handler.is_(None))
            count = await connection.scalar(select(func.count()).where(mine))
            if count is not None and count > self._most_agents:
                raise TooManyAgents(self._most_agents)
        return True

    async def _agents(self, query: Executable) -> list[AgentRecord]:
        return [agent_of(row) for row in await self._database.rows(query)]


def happening_of(row: RowMapping) -> Happening:
    return Happening(**{field.name: row[field.name] for field in fields(Happening)})


def agent_values(record: AgentRecord) -> dict[str, object]:
    """The row of an agent, with the terms that it is found by."""
    own = {field.name: getattr(record, field.name) for field in fields(record)}
    del own["owner"]
    return {
        **own,
        "tenant": record.owner.tenant,
        "owner": record.owner.subject,
        "status": record.status.value,
        "health": record.health.value,
        "capabilities": list(record.capabilities),
        "skills": list(record.skills),
        "terms": sorted(terms(record)),
    }


def agent_of(row: RowMapping) -> AgentRecord:
    own = {field.name: row[field.name] for field in fields(AgentRecord) if field.name != "owner"}
    own.update(
        status=AgentStatus(row["status"]),
        health=AgentHealth(row["health"]),
        capabilities=tuple(row["capabilities"]),
        skills=tuple(row["skills"]),
    )
    return AgentRecord(owner=Owner(tenant=row["tenant"], subject=row["owner"]), **own)


def _renewed(record: AgentRecord, before: AgentRecord) -> AgentRecord:
    """What an owner registers again: what is known of its answering stays, at the same address."""
    after = replace(record, created_at=before.created_at)
    if before.status is not AgentStatus.TERMINATED:
        after = replace(after, status=before.status, changed_at=before.changed_at)
    moved = (before.endpoint, before.card_url) != (record.endpoint, record.card_url)
    if moved or record.health is not AgentHealth.UNKNOWN:
        return after
    return replace(
        after,
        health=before.health,
        health_reason=before.health_reason,
        failures=before.failures,
        checked_at=before.checked_at,
        check_at=before.check_at or record.check_at,
    )


def _line(agent: AgentRecord, entry: Entry, before: str) -> dict[str, object]:
    return {
        "agent_id": agent.agent_id,
        "what": entry.what,
        "before": before,
        "after": agent.status.value,
        "reason": entry.reason,
        "by": entry.by,
        "at": entry.at,
        "tell_at": entry.tell_at,
    }


async def _written(connection: AsyncConnection, line: Mapping[str, object]) -> int:
    made = await connection.execute(insert(events).values(line).returning(events.c.event_id))
    return int(made.scalar_one())
