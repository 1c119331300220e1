"""Webhooks in PostgreSQL. Each remembers up to which event of its task's log it was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    and_,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit import jsonvalue
from agentcore.kit.db import Database, metadata
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.sealing import Sealing, Unsealable

pushes = Table(
    "task_pushes",
    metadata,
    Column("task_id", Text, ForeignKey(tasks.c.task_id, ondelete="CASCADE"), primary_key=True),
    Column("config_id", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", DateTime(timezone=True)),
    Index("ix_task_pushes_next_at", "next_at"),
)


log = structlog.get_logger()

# The member that holds a configuration encrypted: those from before are as they were given.
SEALED = "sealed"
# Of so many tasks with webhooks a process remembers that they have some.
MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """``body`` is the configuration in its form of 1.0; ``family`` the version it came in.

    It is empty where it cannot be read: it was encrypted with a secret that is not known here.
    ``delivered`` is the last event that the webhook has taken. Without ``next_at`` it is given up.
    """

    task_id: str
    config_id: str
    family: str
    body: JsonObject
    delivered: int
    attempts: int = 0
    next_at: datetime | None


class PushStore:
    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database = database
        self._sealing = sealing
        self._known: dict[str, None] = {}

    def knows(self, task_id: str) -> bool:
        """Whether a webhook of the task was set or told through this store, lately."""
        return task_id in self._known

    async def put(self, push: Push) -> None:
        """Insert, or replace what it says; a webhook that was given up is tried again."""
        self._remember(push.task_id)
        fresh = upsert(pushes).values(_values(push, await self._sealed(push)))
        changed = {name: fresh.excluded[name] for name in ("family", "body", "attempts", "next_at")}
        await self._database.write(
            fresh.on_conflict_do_update(
                index_elements=[pushes.c.task_id, pushes.c.config_id], set_=changed
            )
        )

    async def of(self, task_id: str) -> list[Push]:
        query = select(pushes).where(pushes.c.task_id == task_id).order_by(pushes.c.config_id)
        return [await self._push(row) for row in await self._database.rows(query)]

    async def delete(self, task_id: str, config_id: str) -> None:
        await self._database.write(delete(pushes).where(_is(task_id, config_id)))

    async def due(self, now: datetime, until: datetime, limit: int) -> Sequence[Push]:
        """Webhooks that have news to hear, each given to one process until ``until``."""
        key = tuple_(pushes.c.task_id, pushes.c.config_id)
        picked = (
            select(pushes.c.task_id, pushes.c.config_id)
            .join(tasks, tasks.c.task_id == pushes.c.task_id)
            .where(pushes.c.next_at <= now, tasks.c.version > pushes.c.delivered)
            .order_by(pushes.c.next_at)
            .limit(limit)
            .with_for_update(of=pushes, skip_locked=True)
        )
        claim = update(pushes).where(key.in_(picked)).values(next_at=until).returning(pushes)
        found = [await self._push(row) for row in await self._database.rows(claim)]
        for push in found:
            self._remember(push.task_id)
        return found

    async def told(
        self, push: Push, delivered: int, *, attempts: int, next_at: datetime | None
    ) -> None:
        """How far the webhook has come; nothing if its configuration was replaced meanwhile."""
        query = (
            update(pushes)
            .where(_is(push.task_id, push.config_id), pushes.c.next_at == push.next_at)
            .values(
                delivered=func.greatest(pushes.c.delivered, delivered),
                attempts=attempts,
                next_at=next_at,
            )
        )
        await self._database.write(query)

    async def _sealed(self, push: Push) -> JsonObject:
        place = _place(push.task_id, push.config_id)
        return {SEALED: await self._sealing.seal(jsonvalue.dumps(push.body), place)}

    async def _push(self, row: RowMapping) -> Push:
        body: JsonObject = row["body"]
        if SEALED in body:
            body = await self._opened(str(body[SEALED]), row["task_id"], row["config_id"])
        return Push(
            task_id=row["task_id"],
            config_id=row["config_id"],
            family=row["family"],
            body=body,
            delivered=row["delivered"],
            attempts=row["attempts"],
            next_at=row["next_at"],
        )

    async def _opened(self, sealed: str, task_id: str, config_id: str) -> JsonObject:
        try:
            plain = await self._sealing.opened(sealed, _place(task_id, config_id))
        except Unsealable as error:
            log.warning("a webhook cannot be read", task_id=task_id, reason=str(error))
            return {}
        return object_of(jsonvalue.loads(plain))

    def _remember(self, task_id: str) -> None:
        self._known[task_id] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]


def _is(task_id: str, config_id: str) -> ColumnElement[bool]:
    return and_(pushes.c.task_id == task_id, pushes.c.config_id == config_id)


def _place(task_id: str, config_id: str) -> str:
    # Ids hold no NUL: PostgreSQL's text cannot.
    return f"{pushes.name}\0{task_id}\0{config_id}"


def _values(push: Push, body: JsonObject) -> dict[str, object]:
    return {
        "task_id": push.task_id,
        "config_id": push.config_id,
        "family": push.family,
        "body": body,
        "delivered": push.delivered,
        "attempts": push.attempts,
        "next_at": push.next_at,
    }
