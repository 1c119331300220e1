"""The ledger's lines and the API keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import orjson
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    RowMapping,
    Table,
    Text,
    Uuid,
    case,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from agentcore.kit.db import Database, metadata
from agentcore.kit.errors import first_line
from agentcore.llm_gateway.errors import UnwritableCalls
from agentcore.llm_gateway.models import ApiKey, CallRecord, CostLine

llm_calls = Table(
    "llm_calls",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("latency_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    Column("cost_usd", Numeric),
    Column("api_equivalent_usd", Numeric),
    Column("reason", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("private", Boolean, nullable=False),
    Index("ix_llm_calls_tenant_at", "tenant", "at"),
    Index("ix_llm_calls_trace_id", "trace_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("key_hash", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("private", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Index("ix_api_keys_tenant", "tenant", "created_at"),
)

WRITE = text(
    "INSERT INTO llm_calls SELECT * FROM json_populate_recordset(NULL::llm_calls, :rows) "
    "ON CONFLICT (id) DO NOTHING"
)


class CallStore:
    """``database`` is asked for at each call: it opens after the routes are declared."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def write(self, records: Sequence[CallRecord]) -> None:
        """All or none; records already there are left alone.

        The batch travels as one JSON document: PostgreSQL takes it apart, not this event loop.

        Raises:
            UnwritableCalls: the database refuses what one of them holds.
        """
        rows = orjson.dumps([_row(record) for record in records], default=str).decode()

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(WRITE, {"rows": rows})

        try:
            await self._database().run(work)
        except DBAPIError as exc:
            raise UnwritableCalls(f"the ledger refuses a line: {first_line(exc.orig)}") from exc

    async def summary(self, *, tenant: str | None, since: datetime) -> list[CostLine]:
        """Totals by provider and kind, of one tenant or of all."""
        calls = llm_calls.c
        unpriced = func.sum(case((calls.cost_usd.is_(None), 1), else_=0))
        statement = (
            select(
                calls.provider,
                calls.kind,
                func.count().label("calls"),
                unpriced.label("unpriced"),
                func.coalesce(func.sum(calls.prompt_tokens), 0).label("prompt_tokens"),
                func.coalesce(func.sum(calls.completion_tokens), 0).label("completion_tokens"),
                func.sum(calls.cost_usd).label("cost_usd"),
                func.sum(calls.api_equivalent_usd).label("api_equivalent_usd"),
            )
            .where(calls.at >= since)
            .group_by(calls.provider, calls.kind)
            .order_by(calls.provider, calls.kind)
        )
        if tenant is not None:
            statement = statement.where(calls.tenant == tenant)

        async def work(connection: AsyncConnection) -> list[CostLine]:
            rows = (await connection.execute(statement)).mappings()
            return [CostLine(**row) for row in rows]

        return await self._database().run(work)


class KeyStore:
    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def add(self, key: ApiKey, key_hash: bytes) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                insert(api_keys).values(
                    key_id=key.key_id,
                    key_hash=key_hash,
                    subject=key.subject,
                    tenant=key.tenant,
                    scopes=sorted(key.scopes),
                    private=key.private,
                    created_at=key.created_at,
                )
            )

        await self._database().run(work)

    async def find(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        """The key and its hash, revoked or not."""

        async def work(connection: AsyncConnection) -> tuple[ApiKey, bytes] | None:
            statement = select(api_keys).where(api_keys.c.key_id == key_id)
            row = (await connection.execute(statement)).mappings().first()
            return None if row is None else (_key(row), row["key_hash"])

        return await self._database().run(work)

    async def list(self, tenant: str) -> list[ApiKey]:
        async def work(connection: AsyncConnection) -> list[ApiKey]:
            statement = (
                select(api_keys)
                .where(api_keys.c.tenant == tenant)
                .order_by(api_keys.c.created_at, api_keys.c.key_id)
            )
            return [_key(row) for row in (await connection.execute(statement)).mappings()]

        return await self._database().run(work)

    async def revoke(self, key_id: str, *, tenant: str, at: datetime) -> bool:
        """False where the tenant has no such key; revoking twice keeps the first moment."""

        async def work(connection: AsyncConnection) -> bool:
            statement = (
                update(api_keys)
                .where(api_keys.c.key_id == key_id, api_keys.c.tenant == tenant)
                .values(revoked_at=func.coalesce(api_keys.c.revoked_at, at))
                .returning(api_keys.c.key_id)
            )
            return (await connection.execute(statement)).first() is not None

        return await self._database().run(work)


def _row(record: CallRecord) -> dict[str, object]:
    usage = record.usage
    return {
        "id": record.id,
        "at": record.at,
        "tenant": _clean(record.tenant),
        "subject": _clean(record.subject),
        "provider": record.provider,
        "model": _clean(record.model),
        "kind": record.kind,
        "status": record.status,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "latency_ms": record.latency_ms,
        "ttft_ms": record.ttft_ms,
        "cost_usd": record.cost_usd,
        "api_equivalent_usd": record.api_equivalent_usd,
        "reason": record.reason,
        "trace_id": _clean(record.trace_id),
        "private": record.private,
    }


def _clean(text: str) -> str:
    # PostgreSQL's text cannot hold NUL: one such name must not block the whole batch.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        subject=row["subject"],
        tenant=row["tenant"],
        scopes=frozenset(row["scopes"]),
        private=row["private"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
