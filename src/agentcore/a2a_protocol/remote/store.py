"""Which task elsewhere works for which of ours, until it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    and_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from agentcore.a2a_protocol.models.remote import RemoteTask
from agentcore.a2a_protocol.models.task import RUNNING, TERMINAL, Owner
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.db import Database, metadata

remote_tasks = Table(
    "remote_tasks",
    metadata,
    Column("task_id", Text, ForeignKey("tasks.task_id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", Text, nullable=False),
    Column("remote_id", Text, nullable=False),
    Column("context_id", Text, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", DateTime(timezone=True)),
)
Index("ix_remote_tasks_open", remote_tasks.c.next_at, postgresql_where=~remote_tasks.c.ended)


class RemoteTaskStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def bind(self, bound: RemoteTask) -> None:
        fresh = {
            "agent_id": bound.agent_id,
            "remote_id": bound.remote_id,
            "context_id": bound.context_id,
            "ended": False,
            "attempts": 0,
        }
        made = upsert(remote_tasks).values(task_id=bound.task_id, **fresh)
        await self._database.write(
            made.on_conflict_do_update(index_elements=["task_id"], set_=fresh)
        )

    async def find(self, task_id: str) -> RemoteTask | None:
        row = await self._database.row(
            select(remote_tasks).where(remote_tasks.c.task_id == task_id)
        )
        return None if row is None else _remote(row)

    async def ended(self, task_id: str) -> None:
        """The other task is over: nobody has to cancel it any more."""
        mine = remote_tasks.c.task_id == task_id
        await self._database.write(update(remote_tasks).where(mine).values(ended=True))

    async def forsaken(
        self, now: datetime, claim: timedelta, limit: int
    ) -> Sequence[tuple[RemoteTask, Owner]]:
        """Those whose task here has ended first, claimed for that long, and whose they were."""
        due = (
            select(remote_tasks.c.task_id)
            .join(tasks, tasks.c.task_id == remote_tasks.c.task_id)
            .where(
                ~remote_tasks.c.ended,
                tasks.c.state.in_(TERMINAL),
                # Who follows it has a moment to cancel it itself.
                tasks.c.updated_at < now - claim,
                remote_tasks.c.next_at.is_(None) | (remote_tasks.c.next_at < now),
            )
            .limit(limit)
            .with_for_update(skip_locked=True, of=remote_tasks)
        )
        taken = (
            update(remote_tasks)
            .where(and_(remote_tasks.c.task_id.in_(due), tasks.c.task_id == remote_tasks.c.task_id))
            .values(next_at=now + claim, attempts=remote_tasks.c.attempts + 1)
            .returning(remote_tasks, tasks.c.tenant, tasks.c.owner)
        )
        rows = await self._database.rows(taken)
        return [(_remote(row), Owner(tenant=row["tenant"], subject=row["owner"])) for row in rows]

    async def adopted(
        self, worker: str, now: datetime, until: datetime, limit: int
    ) -> Sequence[tuple[str, Owner]]:
        """Tasks here whose process was lost while it followed: they are ``worker``'s now."""
        lost = (
            select(tasks.c.task_id)
            .join(remote_tasks, remote_tasks.c.task_id == tasks.c.task_id)
            .where(
                ~remote_tasks.c.ended,
                tasks.c.state.in_(RUNNING),
                tasks.c.reported_at.is_(None),
                tasks.c.lease_until < now,
            )
            .limit(limit)
            .with_for_update(skip_locked=True, of=tasks)
        )
        taken = (
            update(tasks)
            .where(tasks.c.task_id.in_(lost))
            .values(lease_owner=worker, lease_until=until)
            .returning(tasks.c.task_id, tasks.c.tenant, tasks.c.owner)
        )
        rows = await self._database.rows(taken)
        return [(row["task_id"], Owner(tenant=row["tenant"], subject=row["owner"])) for row in rows]

    async def holder(self, task_id: str) -> tuple[str, str | None]:
        """The state of the task here, and the process that works on it."""
        row = await self._database.row(
            select(tasks.c.state, tasks.c.lease_owner).where(tasks.c.task_id == task_id)
        )
        return ("", None) if row is None else (row["state"], row["lease_owner"])

    async def postpone(self, task_id: str, until: datetime | None) -> None:
        """Try again then; None gives it up."""
        given_up = until is None
        mine = remote_tasks.c.task_id == task_id
        await self._database.write(
            update(remote_tasks).where(mine).values(next_at=until, ended=given_up)
        )


def _remote(row: RowMapping) -> RemoteTask:
    return RemoteTask(
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        remote_id=row["remote_id"],
        context_id=row["context_id"],
        attempts=row["attempts"],
    )
