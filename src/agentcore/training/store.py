"""Checkpoints in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.errors import InvalidInput
from agentcore.training.errors import CheckpointConflict
from agentcore.training.models import CheckpointEntry, CheckpointKind, CheckpointPage

training_checkpoints = Table(
    "training_checkpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("parent", Integer),
    Column("document", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("metrics", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("tenant", "kind", "name", "version", name="uq_training_checkpoints_version"),
)
# One writer per name at a time: versions have no gaps and no two are the same.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
LISTED = tuple(
    training_checkpoints.c[name]
    for name in (
        "kind",
        "name",
        "version",
        "parent",
        "metrics",
        "sha256",
        "created_at",
        "created_by",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A row; ``document`` holds all of it that is hashed."""

    id: UUID
    tenant: str
    kind: CheckpointKind
    name: str
    version: int
    parent: int | None
    document: bytes
    sha256: str
    metrics: dict[str, float]
    created_at: datetime
    created_by: str


class CheckpointStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        tenant: str,
        kind: CheckpointKind,
        name: str,
        make: Callable[[int], StoredCheckpoint],
        *,
        expected: int | None,
    ) -> StoredCheckpoint:
        """Store what ``make`` makes of the next version's number.

        Raises:
            CheckpointConflict: the newest version is not ``expected``.
        """

        async def work(connection: AsyncConnection) -> StoredCheckpoint:
            await connection.execute(LOCK, {"name": f"{tenant}\x1f{kind}\x1f{name}"})
            columns = training_checkpoints.c
            newest = await connection.scalar(
                select(func.coalesce(func.max(columns.version), 0)).where(
                    columns.tenant == tenant, columns.kind == kind, columns.name == name
                )
            )
            found = int(newest or 0)
            if expected is not None and expected != found:
                raise CheckpointConflict(
                    f"the {kind} {name!r} is at version {found}, not {expected}",
                    hint="load the newest version and try again",
                    version=found,
                )
            row = make(found + 1)
            values = {field: getattr(row, field) for field in StoredCheckpoint.__slots__}
            await connection.execute(insert(training_checkpoints).values(values))
            return row

        return await self._database.run(work)

    async def find(
        self, tenant: str, kind: CheckpointKind, name: str, version: int | None
    ) -> StoredCheckpoint | None:
        """One version, or the newest."""
        columns = training_checkpoints.c
        statement = (
            select(training_checkpoints)
            .where(columns.tenant == tenant, columns.kind == kind, columns.name == name)
            .order_by(columns.version.desc())
            .limit(1)
        )
        if version is not None:
            statement = statement.where(columns.version == version)
        row = await self._database.row(statement)
        return None if row is None else StoredCheckpoint(**row)

    async def versions(
        self,
        tenant: str,
        kind: CheckpointKind,
        name: str,
        *,
        limit: int | None = None,
        before: int | None = None,
    ) -> list[CheckpointEntry]:
        """The newest first."""
        columns = training_checkpoints.c
        statement = (
            select(*LISTED)
            .where(columns.tenant == tenant, columns.kind == kind, columns.name == name)
            .order_by(columns.version.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(columns.version < before)
        return [_entry(row) for row in await self._database.rows(statement)]

    async def newest(self, tenant: str, *, limit: int, cursor: str) -> CheckpointPage:
        """The newest version of each kind and name behind ``cursor`` (``kind/name``)."""
        columns = training_checkpoints.c
        statement = (
            select(*LISTED)
            .ext(distinct_on(columns.kind, columns.name))
            .where(columns.tenant == tenant)
            .order_by(columns.kind, columns.name, columns.version.desc())
            .limit(limit + 1)
        )
        if cursor:
            kind, slash, name = cursor.partition("/")
            if not slash or "\x00" in cursor:
                raise InvalidInput(f"{cursor[:80]!r} is no cursor", hint="give a next_cursor")
            statement = statement.where(tuple_(columns.kind, columns.name) > tuple_(kind, name))
        found = [_entry(row) for row in await self._database.rows(statement)]
        last = found[limit - 1] if len(found) > limit else None
        return CheckpointPage(
            checkpoints=tuple(found[:limit]),
            next_cursor=None if last is None else f"{last.kind}/{last.name}",
        )

    async def delete(
        self, tenant: str, kind: CheckpointKind, name: str, versions: Sequence[int]
    ) -> None:
        columns = training_checkpoints.c
        await self._database.write(
            delete(training_checkpoints).where(
                columns.tenant == tenant,
                columns.kind == kind,
                columns.name == name,
                columns.version == func.any(cast(list(versions), ARRAY(Integer))),
            )
        )


def _entry(row: RowMapping) -> CheckpointEntry:
    return CheckpointEntry.model_validate(dict(row))
