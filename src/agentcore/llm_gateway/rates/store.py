"""Tenants' rates in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Column, DateTime, Integer, Table, Text, delete, select
from sqlalchemy.dialects.postgresql import insert

from agentcore.kit.db import Database, metadata
from agentcore.llm_gateway.rates.models import Rates

llm_tenant_rates = Table(
    "llm_tenant_rates",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)


class RateStore:
    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def all(self) -> Mapping[str, Rates]:
        rows = await self._database().rows(select(llm_tenant_rates))
        return {
            row["tenant"]: Rates(row["requests_per_minute"], row["tokens_per_minute"])
            for row in rows
        }

    async def set(self, tenant: str, rates: Rates, *, now: datetime) -> None:
        values = {**rates._asdict(), "changed_at": now}
        statement = insert(llm_tenant_rates).values(tenant=tenant, **values)
        await self._database().write(
            statement.on_conflict_do_update(index_elements=[llm_tenant_rates.c.tenant], set_=values)
        )

    async def delete(self, tenant: str) -> bool:
        """False where the tenant had none."""
        gone = delete(llm_tenant_rates).where(llm_tenant_rates.c.tenant == tenant)
        return await self._database().write(gone) > 0
