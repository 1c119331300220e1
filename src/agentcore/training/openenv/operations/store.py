"""Operations in PostgreSQL; whoever works on one holds it by a lease."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    Uuid,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.storable import made_storable
from agentcore.training.openenv.operations.errors import OperationUnderWay
from agentcore.training.openenv.operations.models import Operation

ALONE = "finished_at IS NULL AND target <> ''"

environment_operations = Table(
    "environment_operations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("result", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    Column("requested_by", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("kind IN ('discover', 'deploy', 'undeploy')", name="kind"),
    CheckConstraint("state IN ('pending', 'running', 'succeeded', 'failed')", name="state"),
    CheckConstraint(
        "(state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)", name="finished_at"
    ),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error"),
    Index(
        "ix_environment_operations_target",
        "namespace",
        "target",
        unique=True,
        postgresql_where=text(ALONE),
    ),
    Index("ix_environment_operations_created_at", "namespace", "created_at"),
)


class OperationStore:
    """Operations of one namespace."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    async def add(self, operation: Operation, lease_until: datetime | None) -> None:
        """Raises ``OperationUnderWay`` where another one works on its target."""
        columns = environment_operations.c
        values = operation.model_dump()
        statement = (
            insert(environment_operations)
            .values(namespace=self._namespace, lease_until=lease_until, **values)
            .on_conflict_do_nothing(index_elements=("namespace", "target"), index_where=text(ALONE))
            .returning(columns.id)
        )

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(statement)).first() is None:
                found = await connection.scalar(self._on(operation.target))
                raise OperationUnderWay(operation.target, str(found))

        await self._database.run(work)

    async def under_way(self, target: str) -> UUID | None:
        """The operation that works on ``target``, or waits to."""
        row = await self._database.row(self._on(target))
        return None if row is None else UUID(str(row["id"]))

    def _on(self, target: str) -> Select[tuple[UUID]]:
        columns = environment_operations.c
        return select(columns.id).where(
            columns.namespace == self._namespace,
            columns.target == target,
            columns.finished_at.is_(None),
        )

    async def get(self, id_: UUID) -> Operation | None:
        columns = environment_operations.c
        statement = select(environment_operations).where(
            columns.id == id_, columns.namespace == self._namespace
        )
        row = await self._database.row(statement)
        return None if row is None else _operation(row)

    async def take(self, *, now: datetime, until: datetime) -> Operation | None:
        """The oldest one that nobody works on, or whose worker let its lease run out."""
        columns = environment_operations.c
        free = (
            select(columns.id)
            .where(
                columns.namespace == self._namespace,
                columns.finished_at.is_(None),
                (columns.lease_until.is_(None)) | (columns.lease_until < now),
            )
            .order_by(columns.created_at, columns.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(environment_operations)
            .where(columns.id == free.scalar_subquery())
            .values(state="running", attempts=columns.attempts + 1, lease_until=until)
            .returning(environment_operations)
        )
        row = await self._database.row(statement)
        return None if row is None else _operation(row)

    async def lease(self, operation: Operation, until: datetime | None) -> None:
        """Hold an unfinished operation until then; None gives it back. Only who began it last."""
        statement = update(environment_operations).where(*_held(operation))
        await self._database.write(statement.values(lease_until=until))

    async def finish(
        self,
        operation: Operation,
        *,
        result: JsonObject | None,
        error: JsonObject | None,
        at: datetime,
    ) -> None:
        """Write its outcome, once: what somebody else has taken over or finished stays theirs."""
        statement = update(environment_operations).where(*_held(operation))
        await self._database.write(
            statement.values(
                state="failed" if error is not None else "succeeded",
                # The words of a process that died are in it: it may have said anything.
                result=made_storable(result),
                error=made_storable(error),
                finished_at=at,
                lease_until=None,
            )
        )

    async def forget(self, before: datetime) -> None:
        """Drop what was finished before then."""
        columns = environment_operations.c
        statement = delete(environment_operations).where(
            columns.namespace == self._namespace, columns.finished_at < before
        )
        await self._database.write(statement)


def _held(operation: Operation) -> tuple[ColumnElement[bool], ...]:
    """Not finished, and nobody has begun it anew."""
    columns = environment_operations.c
    return (
        columns.id == operation.id,
        columns.finished_at.is_(None),
        columns.attempts == operation.attempts,
    )


def _operation(row: RowMapping) -> Operation:
    return Operation.model_validate({name: row[name] for name in Operation.model_fields})
