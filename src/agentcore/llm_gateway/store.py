"""The ledger's lines and the API keys in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
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
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.errors import first_line
from agentcore.llm_gateway.errors import UnwritableCalls
from agentcore.llm_gateway.models import PRIORITIES, CallRecord
from agentcore.llm_gateway.terms import ApiKey, Terms

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
    # Younger than the rest: a replica of the version before leaves them out.
    Column("key_id", Text),
    Column("agent", Text),
    Column("conversation", Text),
    Column("dialect", Text),
    Column("reasoning_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("price_source", Text),
    Column("attempts", Integer),
    Index("ix_llm_calls_tenant_at", "tenant", "at"),
    Index("ix_llm_calls_trace_id", "trace_id"),
    Index(
        "ix_llm_calls_conversation",
        "tenant",
        "conversation",
        "at",
        postgresql_where=text("conversation IS NOT NULL"),
    ),
)

# What the calls of a day in UTC come to; kept in the transaction that writes the calls.
llm_usage_daily = Table(
    "llm_usage_daily",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("priced", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_usd", Numeric, nullable=False),
    Column("api_equivalent_usd", Numeric, nullable=False),
    Column("saved_usd", Numeric, nullable=False),
    Index("ix_llm_usage_daily_day", "day"),
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
    Column("expires_at", DateTime(timezone=True)),
    Column("models", ARRAY(Text)),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("priority", Text),
    Index("ix_api_keys_tenant", "tenant", "created_at"),
)

# Only what is new is added up, so a batch that comes twice counts once; in order, so that two
# processes do not wait for each other.
WRITE = text(
    """
    WITH fresh AS (
        INSERT INTO llm_calls SELECT * FROM json_populate_recordset(NULL::llm_calls, :rows)
        ON CONFLICT (id) DO NOTHING
        RETURNING *
    )
    INSERT INTO llm_usage_daily AS kept (
        tenant, day, key_id, agent, model, provider, kind, calls, failed, priced, unpriced,
        prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,
        cost_usd, api_equivalent_usd, saved_usd
    )
    SELECT
        tenant, (at AT TIME ZONE 'UTC')::date, coalesce(key_id, ''), coalesce(agent, ''), model,
        provider, kind,
        count(*),
        count(*) FILTER (WHERE status NOT IN ('success', 'cancelled', 'cached')),
        count(cost_usd),
        count(*) FILTER (WHERE cost_usd IS NULL AND (
            status = 'success' OR prompt_tokens IS NOT NULL OR ttft_ms IS NOT NULL
        )),
        coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
        coalesce(sum(cached_tokens), 0), coalesce(sum(cache_write_tokens), 0),
        coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_usd), 0),
        coalesce(sum(api_equivalent_usd), 0),
        coalesce(sum(api_equivalent_usd - coalesce(cost_usd, 0)), 0)
    FROM fresh GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (tenant, day, key_id, agent, model, provider, kind) DO UPDATE SET
        calls = kept.calls + EXCLUDED.calls,
        failed = kept.failed + EXCLUDED.failed,
        priced = kept.priced + EXCLUDED.priced,
        unpriced = kept.unpriced + EXCLUDED.unpriced,
        prompt_tokens = kept.prompt_tokens + EXCLUDED.prompt_tokens,
        completion_tokens = kept.completion_tokens + EXCLUDED.completion_tokens,
        cached_tokens = kept.cached_tokens + EXCLUDED.cached_tokens,
        cache_write_tokens = kept.cache_write_tokens + EXCLUDED.cache_write_tokens,
        reasoning_tokens = kept.reasoning_tokens + EXCLUDED.reasoning_tokens,
        cost_usd = kept.cost_usd + EXCLUDED.cost_usd,
        api_equivalent_usd = kept.api_equivalent_usd + EXCLUDED.api_equivalent_usd,
        saved_usd = kept.saved_usd + EXCLUDED.saved_usd
    """
)


NUL = "\\u0000"
# Lines made in one go: each holds up who is answered meanwhile by some microseconds. They are few,
# but more than can have come since the last go, or they would pile up where many are answered.
FEWEST_AT_ONCE, MOST_A_SECOND = 10, 10_000


class CallStore:
    """``database`` is asked for at each call: it opens after the routes are declared."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def write(self, records: Sequence[CallRecord]) -> None:
        """All or none, with the days' totals; records already there are left alone.

        The batch travels as one JSON document: PostgreSQL takes it apart, not this event loop.

        Raises:
            UnwritableCalls: the database refuses what one of them holds.
        """
        rows = await _written(records)
        if NUL in rows:
            # PostgreSQL's text cannot hold it: one such name must not block the whole batch.
            rows = await _written([_clean(record) for record in records])

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(WRITE, {"rows": rows})

        try:
            await self._database().run(work)
        except DBAPIError as exc:
            raise UnwritableCalls(f"the ledger refuses a line: {first_line(exc.orig)}") from exc


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
                    **_terms(key.terms, key.expires_at),
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

    async def page(
        self, tenant: str, *, limit: int, cursor: str
    ) -> tuple[list[ApiKey], str | None]:
        """In the order of their making."""
        keys = api_keys.c
        statement = (
            select(api_keys)
            .where(keys.tenant == tenant)
            .order_by(keys.created_at, keys.key_id)
            .limit(limit + 1)
        )
        if cursor:
            after = select(keys.created_at, keys.key_id).where(keys.key_id == cursor)
            statement = statement.where(
                tuple_(keys.created_at, keys.key_id) > after.scalar_subquery()
            )
        found = [_key(row) for row in await self._database().rows(statement)]
        return found[:limit], found[limit - 1].key_id if len(found) > limit else None

    async def change(
        self, key_id: str, *, tenant: str, terms: Terms, expires_at: datetime | None
    ) -> ApiKey | None:
        """None where the tenant has no such key."""

        async def work(connection: AsyncConnection) -> ApiKey | None:
            statement = (
                update(api_keys)
                .where(api_keys.c.key_id == key_id, api_keys.c.tenant == tenant)
                .values(**_terms(terms, expires_at))
                .returning(*api_keys.c)
            )
            row = (await connection.execute(statement)).mappings().first()
            return None if row is None else _key(row)

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


async def _written(records: Sequence[CallRecord]) -> str:
    """As one JSON list, a part at a time: nobody is answered while a part is written."""
    parts: list[bytes] = []
    loop = asyncio.get_running_loop()
    begin, at_once, went = 0, FEWEST_AT_ONCE, loop.time()
    while begin < len(records):
        part = [_row(record) for record in records[begin : begin + at_once]]
        parts.append(orjson.dumps(part, default=str)[1:-1])
        begin += at_once
        await asyncio.sleep(0)
        passed, went = loop.time() - went, loop.time()
        at_once = max(FEWEST_AT_ONCE, int(passed * MOST_A_SECOND))
    return f"[{b','.join(parts).decode()}]"


def _row(record: CallRecord) -> dict[str, object]:
    usage = record.usage
    return {
        "id": record.id,
        "at": record.at,
        "tenant": record.tenant,
        "subject": record.subject,
        "provider": record.provider,
        "model": record.model,
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
        "trace_id": record.trace_id,
        "private": record.private,
        "key_id": record.key_id or None,
        "agent": record.agent or None,
        "conversation": record.conversation or None,
        "dialect": record.dialect,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "cache_write_tokens": usage.cache_write_tokens if usage else None,
        "price_source": record.price_source,
        "attempts": record.attempts,
    }


def _clean(record: CallRecord) -> CallRecord:
    return CallRecord._make(
        value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
        for value in record
    )


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        subject=row["subject"],
        tenant=row["tenant"],
        scopes=frozenset(row["scopes"]),
        private=row["private"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        expires_at=row["expires_at"],
        terms=Terms(
            models=tuple(row["models"] or ()),
            requests_per_minute=row["requests_per_minute"],
            tokens_per_minute=row["tokens_per_minute"],
            ceiling=PRIORITIES.index(row["priority"] or PRIORITIES[0]),
        ),
    )


def _terms(terms: Terms, expires_at: datetime | None) -> dict[str, object]:
    return {
        "expires_at": expires_at,
        "models": list(terms.models) or None,
        "requests_per_minute": terms.requests_per_minute,
        "tokens_per_minute": terms.tokens_per_minute,
        "priority": PRIORITIES[terms.ceiling] if terms.ceiling else None,
    }
