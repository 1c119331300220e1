"""Who handed what on to whom, and how it ended; a row lives as long as its task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CTE,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    case,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from agentcore.a2a_protocol.delegation.models import Asked, Interaction
from agentcore.a2a_protocol.models.handover import MOST_TOKENS, NOTHING_SPENT, Spent
from agentcore.a2a_protocol.models.task import RUNNING, Owner
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.a2a_protocol.remote.store import remote_tasks
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection

interactions = Table(
    "agent_interactions",
    metadata,
    Column("task_id", Text, ForeignKey("tasks.task_id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("source_agent", Text, nullable=False),
    Column("source_task", Text, nullable=False),
    Column("source_installation", Text, nullable=False),
    Column("target_agent", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("budget_usd", Numeric),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("error", Text),
    Column("seconds", Double),
    Column("tokens", Integer),
    Column("cost_usd", Numeric),
    Index("ix_agent_interactions_owner", "tenant", "owner", "created_at", "task_id"),
    Index("ix_agent_interactions_source_task", "source_task"),
)


COUNTED = ("task_id", "ended_at", "budget_usd", "cost_usd", "tokens")


class InteractionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def began(self, made: Interaction) -> Decimal | None:
        """The budget that is left for it: of several at once, in any process, one after the other.

        None where neither it nor the task that it works for has one.
        """
        values = {
            column.name: getattr(made, column.name) for column in interactions.c if column.name
        }

        async def work(connection: AsyncConnection) -> Decimal | None:
            budgets = [] if made.budget_usd is None else [made.budget_usd]
            whole = (await connection.execute(_budget(made))).scalar_one_or_none()
            if whole is not None:
                spent = await connection.execute(_spent(made.source_task, made.tenant))
                budgets.append(max(whole - spent.scalar_one(), Decimal(0)))
            values["budget_usd"] = min(budgets, default=None)
            await connection.execute(upsert(interactions).values(values).on_conflict_do_nothing())
            mine = interactions.c.task_id == made.task_id
            kept: Decimal | None = await connection.scalar(
                select(interactions.c.budget_usd).where(mine)
            )
            return kept

        return await self._database.run(work)

    async def ended(self, outcome: TaskOutcome, now: datetime) -> None:
        mine = interactions.c.task_id == outcome.task_id
        await self._database.write(
            update(interactions)
            .where(mine, interactions.c.ended_at.is_(None))
            .values(
                ended_at=now,
                error=outcome.error_message,
                seconds=outcome.execution_time,
                tokens=min(outcome.tokens, MOST_TOKENS),
                cost_usd=outcome.cost_usd,
            )
        )

    async def spent(self, source_task: str, tenant: str) -> Decimal:
        """What those have cost that worked for the task, or may cost that still do."""
        row = await self._database.row(_spent(source_task, tenant))
        return Decimal(0) if row is None else Decimal(row["spent"])

    async def below(self, task_id: str, tenant: str) -> Spent:
        below = _below(task_id, tenant).c
        cost, tokens = func.sum(below.cost_usd), func.coalesce(func.sum(below.tokens), 0)
        query = select(cost.label("cost"), tokens.label("tokens"))
        # What runs elsewhere has told what those have cost that it has asked.
        row = await self._database.row(query.where(~_elsewhere(task_id)))
        if row is None:
            return NOTHING_SPENT
        return Spent.model_construct(cost_usd=row["cost"], tokens=int(row["tokens"]))

    async def running_for(self, source_task: str, tenant: str) -> Sequence[tuple[str, Owner]]:
        """The tasks of its owner that still work for one."""
        joined = interactions.join(tasks, tasks.c.task_id == interactions.c.task_id)
        query = (
            select(tasks.c.task_id, tasks.c.tenant, tasks.c.owner)
            .select_from(joined)
            .where(
                interactions.c.source_task == source_task,
                _of_its_owner(source_task, tenant),
                tasks.c.state.in_(RUNNING),
            )
        )
        rows = await self._database.rows(query)
        return [(row["task_id"], Owner(tenant=row["tenant"], subject=row["owner"])) for row in rows]

    async def page(
        self, owner: Owner, asked: Asked, after: tuple[datetime, str] | None
    ) -> list[Interaction]:
        """Newest first, one more than asked for, if there is one."""
        table = interactions.c
        wanted = [table.tenant == owner.tenant, table.owner == owner.subject]
        if agent_id := asked.agent_id:
            wanted.append((table.source_agent == agent_id) | (table.target_agent == agent_id))
        if task_id := asked.task_id:
            wanted.append((table.source_task == task_id) | (table.task_id == task_id))
        if trace_id := asked.trace_id:
            wanted.append(table.trace_id == trace_id)
        if after is not None:
            wanted.append(tuple_(table.created_at, table.task_id) < after)
        joined = interactions.join(tasks, tasks.c.task_id == table.task_id)
        query = (
            select(interactions, tasks.c.state)
            .select_from(joined)
            .where(and_(*wanted))
            .order_by(table.created_at.desc(), table.task_id.desc())
            .limit(asked.limit + 1)
        )
        return [_interaction(row) for row in await self._database.rows(query)]


def _budget(made: Interaction) -> Select[Decimal | None]:
    """That of the task that it works for, which nobody else hands on until this is written."""
    query = select(interactions.c.budget_usd).where(
        interactions.c.task_id == made.source_task,
        interactions.c.tenant == made.tenant,
        interactions.c.owner == made.owner,
        interactions.c.budget_usd.is_not(None),
    )
    return query.with_for_update(key_share=True)


def _spent(source_task: str, tenant: str) -> Select[Decimal]:
    below = _below(source_task, tenant).c
    # Several that are asked at once do not each have all of it.
    held = case((below.ended_at.is_(None), below.budget_usd))
    total = func.coalesce(func.sum(func.coalesce(below.cost_usd, held, 0)), 0)
    return select(total.label("spent"))


def _below(task_id: str, tenant: str) -> CTE:
    """The tenant's interactions on behalf of the task, and on behalf of those.

    What one holds that goes on, or has told that ran elsewhere, includes those behind it.
    """
    mine = [interactions.c[name] for name in COUNTED]
    ours = _of_its_owner(task_id, tenant)
    first = select(*mine).where(interactions.c.source_task == task_id, ours)
    below = first.cte("below", recursive=True)
    further = (
        select(*mine)
        .join(below, interactions.c.source_task == below.c.task_id)
        .where(
            ours,
            below.c.ended_at.is_not(None) | below.c.budget_usd.is_(None),
            ~_elsewhere(below.c.task_id),
        )
    )
    return below.union(further)


def _elsewhere(task_id: str | ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(remote_tasks.c.task_id == task_id)


def _of_its_owner(task_id: str, tenant: str) -> ColumnElement[bool]:
    """Chains are not signed: anybody may name the task as one that he works for."""
    owner = select(tasks.c.owner).where(tasks.c.task_id == task_id).scalar_subquery()
    return and_(interactions.c.tenant == tenant, interactions.c.owner == owner)


def _interaction(row: RowMapping) -> Interaction:
    return Interaction(**{name: row[name] for name in Interaction.__slots__})
