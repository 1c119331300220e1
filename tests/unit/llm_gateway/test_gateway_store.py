"""Tests of store.py."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from agentcore.kit.db import Database, StorageUnavailable
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.errors import UnwritableCalls
from agentcore.llm_gateway.models import CallRecord, TokenUsage
from agentcore.llm_gateway.store import CallStore, llm_calls
from tests.unit.llm_gateway.conftest import call_record

AT = datetime(2026, 1, 1, tzinfo=UTC)


def record() -> CallRecord:
    return call_record(
        at=AT,
        provider="cluster",
        model="qwen3-8b",
        kind="self_hosted",
        usage=TokenUsage(1000, 200, 1200, 400),
        ttft_ms=3.5,
        cost_usd=Decimal("0.000000000000000123"),
        api_equivalent_usd=Decimal("0.00056"),
        reason="cost_optimization",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        private=True,
    )


async def test_a_line_is_kept_exactly(database: Database) -> None:
    written = record()
    await CallStore(lambda: database).write([written])
    async with database.begin() as connection:
        row = (await connection.execute(select(llm_calls))).mappings().one()
    assert row["cost_usd"] == written.cost_usd
    assert row["cached_tokens"] == 400
    assert row["at"] == AT
    assert row["private"] is True
    assert row["id"] == written.id


async def test_writing_twice_counts_once(database: Database) -> None:
    calls = CallStore(lambda: database)
    written = record()
    await calls.write([written])
    await calls.write([written, record()])
    lines = await CostReports(lambda: database).summary(tenant="acme", since=AT)
    assert lines[0].calls == 2


async def test_unknown_stays_unknown(database: Database) -> None:
    calls = CallStore(lambda: database)
    bare = record()._replace(usage=None, cost_usd=None, api_equivalent_usd=None, ttft_ms=None)
    await calls.write([bare])
    line = (await CostReports(lambda: database).summary(tenant=None, since=AT))[0]
    assert line.cost_usd is None
    assert line.unpriced == 1
    assert line.prompt_tokens == 0


async def test_one_odd_name_does_not_block_a_batch(database: Database) -> None:
    calls = CallStore(lambda: database)
    await calls.write([record()._replace(subject="a\x00b", trace_id="\x00"), record()])
    assert (await CostReports(lambda: database).summary(tenant="acme", since=AT))[0].calls == 2


async def test_what_the_database_cannot_hold_is_refused_as_such(database: Database) -> None:
    calls = CallStore(lambda: database)
    with pytest.raises(UnwritableCalls, match="out of range"):
        await calls.write([record(), record()._replace(usage=TokenUsage(2**40, 1, 1))])
    assert await CostReports(lambda: database).summary(tenant=None, since=AT) == []


async def test_a_summary_is_of_one_tenant_one_window_and_by_provider(database: Database) -> None:
    calls = CallStore(lambda: database)
    await calls.write(
        [
            record(),
            record()._replace(provider="api", kind="api", cost_usd=Decimal("0.5")),
            record()._replace(provider="api", kind="api", cost_usd=Decimal("0.25")),
            record()._replace(tenant="rival"),
            record()._replace(at=AT - timedelta(seconds=1)),
        ]
    )
    lines = await CostReports(lambda: database).summary(tenant="acme", since=AT)
    assert [(line.provider, line.kind, line.calls) for line in lines] == [
        ("api", "api", 2),
        ("cluster", "self_hosted", 1),
    ]
    assert lines[0].cost_usd == Decimal("0.75")
    assert lines[1].api_equivalent_usd == Decimal("0.00056")
    everybody = await CostReports(lambda: database).summary(tenant=None, since=AT)
    assert sum(line.calls for line in everybody) == 4


async def test_where_turns_are_long_more_lines_are_made_in_each() -> None:
    """Else more calls end in a turn than lines are made in it, and the ledger never catches up."""
    loop, turns = asyncio.get_running_loop(), 0

    def gone() -> Database:
        raise StorageUnavailable("asked for when all lines are made")

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            end = loop.time() + 0.004
            while loop.time() < end:
                pass
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    with pytest.raises(StorageUnavailable):
        await CallStore(gone).write([record()] * 300)
    others.cancel()
    assert turns < 20
