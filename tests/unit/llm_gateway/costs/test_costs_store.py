"""Tests of costs/store.py, over what llm_gateway/store.py writes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from agentcore.kit.db import Database
from agentcore.kit.errors import InvalidInput
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.costs.models import CallFilter, Days, Totals
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.models import CallRecord, TokenUsage
from agentcore.llm_gateway.store import CallStore, llm_calls, llm_usage_daily
from tests.unit.llm_gateway.conftest import call_record

IDS = Ids()
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
MONTH = Days(first=date(2025, 12, 12), last=date(2026, 1, 10))
CENT = Decimal("0.01")


def record(**changes: object) -> CallRecord:
    known = {
        "id": IDS.new(),
        "at": NOON,
        "usage": TokenUsage(100, 20, 120, 40, 5, 10),
        "cost_usd": CENT,
        "key_id": "k1",
        "agent": "planner",
        "conversation": "c1",
        "dialect": "messages",
        "price_source": "configured",
        "attempts": 2,
    }
    return call_record(**{**known, **changes})


@pytest.fixture
def calls(database: Database) -> CallStore:
    return CallStore(lambda: database)


@pytest.fixture
def reports(database: Database) -> CostReports:
    return CostReports(lambda: database)


async def test_a_call_is_told_with_all_that_is_known(
    calls: CallStore, reports: CostReports
) -> None:
    written = record()
    await calls.write([written])
    page = await reports.calls(CallFilter(tenant="acme", since=NOON), limit=5, cursor="")
    (line,) = page.calls
    assert (line.id, line.at, line.key_id, line.agent) == (written.id, NOON, "k1", "planner")
    assert (line.conversation, line.dialect, line.attempts) == ("c1", "messages", 2)
    assert (line.cached_tokens, line.reasoning_tokens, line.cache_write_tokens) == (40, 5, 10)
    assert (line.cost_usd, line.price_source) == (CENT, "configured")
    assert page.next_cursor is None


async def test_a_batch_that_comes_twice_counts_once(calls: CallStore, reports: CostReports) -> None:
    batch = [record() for _ in range(3)]
    await calls.write(batch)
    await calls.write([*batch, record(), batch[0]])
    page = await reports.daily(MONTH, tenant="acme", limit=10, cursor="")
    assert [(line.name, line.calls, line.cost_usd) for line in page.lines] == [
        ("2026-01-10", 4, 4 * CENT)
    ]


async def test_a_day_ends_at_midnight_in_utc(calls: CallStore, reports: CostReports) -> None:
    midnight = datetime(2026, 1, 10, tzinfo=UTC)
    await calls.write(
        [record(at=midnight - timedelta(microseconds=1)), record(at=midnight), record(at=NOON)]
    )
    page = await reports.daily(MONTH, tenant="acme", limit=10, cursor="")
    assert [(line.name, line.calls) for line in page.lines] == [
        ("2026-01-10", 2),
        ("2026-01-09", 1),
    ]


async def test_costs_are_told_by_everything_and_the_dearest_comes_first(
    calls: CallStore, reports: CostReports
) -> None:
    await calls.write(
        [
            record(agent="a", key_id="k1", model="m1", conversation="c1"),
            record(agent="b", key_id="k1", model="m2", conversation="c2", cost_usd=5 * CENT),
            record(agent="", key_id="", model="m2", conversation="", cost_usd=None),
            record(tenant="rival", agent="b", cost_usd=Decimal(9)),
            record(agent="old", at=NOON - timedelta(days=40)),
        ]
    )

    async def by(dimension: str, tenant: str | None = "acme") -> list[tuple[str, int, object]]:
        page = await reports.by(
            dimension,  # type: ignore[arg-type]  # a test's own shorthand
            MONTH,
            tenant=tenant,
            limit=10,
            cursor="",
        )
        return [(line.name, line.calls, line.cost_usd) for line in page.lines]

    assert await by("agent") == [("b", 1, 5 * CENT), ("a", 1, CENT), ("", 1, None)]
    assert await by("key") == [("k1", 2, 6 * CENT), ("", 1, None)]
    assert await by("model") == [("m2", 2, 5 * CENT), ("m1", 1, CENT)]
    assert await by("provider") == [("api", 3, 6 * CENT)]
    assert await by("conversation") == [("c2", 1, 5 * CENT), ("c1", 1, CENT), ("", 1, None)]
    assert (await by("agent", None))[0] == ("b", 2, Decimal(9) + 5 * CENT)


@pytest.mark.parametrize("dimension", ["agent", "conversation"])
async def test_pages_show_every_line_once(
    calls: CallStore, reports: CostReports, dimension: str
) -> None:
    costs = (CENT, CENT, None, 3 * CENT, None)
    names = ("a", "b", "c", "d/e", "f")
    await calls.write(
        [
            record(agent=name, conversation=name, cost_usd=cost)
            for name, cost in zip(names, costs, strict=True)
        ]
    )
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await reports.by(
            dimension,  # type: ignore[arg-type]  # a test's own shorthand
            MONTH,
            tenant="acme",
            limit=2,
            cursor=cursor,
        )
        seen += [line.name for line in page.lines]
        cursor = page.next_cursor
    assert seen == ["d/e", "b", "a", "f", "c"]


async def test_calls_are_paged_newest_first_and_chosen(
    calls: CallStore, reports: CostReports
) -> None:
    batch = [record(at=NOON + timedelta(seconds=n // 2), agent=f"a{n % 2}") for n in range(7)]
    await calls.write([*batch, record(tenant="rival"), record(status="upstream_error")])
    wanted = CallFilter(tenant="acme", since=NOON, status="success")
    seen = []
    cursor: str | None = ""
    while cursor is not None:
        page = await reports.calls(wanted, limit=3, cursor=cursor)
        seen += [line.id for line in page.calls]
        cursor = page.next_cursor
    assert seen == [each.id for each in sorted(batch, key=lambda one: (one.at, one.id))][::-1]
    only = CallFilter(tenant="acme", since=NOON, agent="a1", status="success")
    assert len((await reports.calls(only, limit=50, cursor="")).calls) == 3
    nobody = CallFilter(tenant="acme", since=NOON, conversation="'; DROP TABLE llm_calls; --")
    assert (await reports.calls(nobody, limit=50, cursor="")).calls == ()


async def test_days_are_paged(calls: CallStore, reports: CostReports) -> None:
    await calls.write([record(at=NOON - timedelta(days=n)) for n in range(5)])
    first = await reports.daily(MONTH, tenant=None, limit=3, cursor="")
    assert first.next_cursor == "2026-01-08"
    rest = await reports.daily(MONTH, tenant=None, limit=3, cursor=first.next_cursor)
    assert [line.name for line in rest.lines] == ["2026-01-07", "2026-01-06"]
    assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "/", "nan/a", "Infinity/a", "1", "2026-13-01"])
async def test_a_made_up_cursor_is_refused(reports: CostReports, cursor: str) -> None:
    if cursor != "/":
        with pytest.raises(InvalidInput, match="is no cursor"):
            await reports.by("agent", MONTH, tenant=None, limit=3, cursor=cursor)
    with pytest.raises(InvalidInput, match="is no cursor"):
        await reports.daily(MONTH, tenant=None, limit=3, cursor=cursor)
    wanted = CallFilter(tenant=None, since=NOON)
    with pytest.raises(InvalidInput, match="is no cursor"):
        await reports.calls(wanted, limit=3, cursor=cursor)


MONEY = st.decimals(0, 5, places=9) | st.none()
RECORDS = st.lists(
    st.builds(
        record,
        at=st.datetimes(
            datetime(2026, 1, 8),  # noqa: DTZ001 - hypothesis adds the zone
            datetime(2026, 1, 10),  # noqa: DTZ001 - hypothesis adds the zone
            timezones=st.just(UTC),
        ),
        tenant=st.sampled_from(["acme", "rival"]),
        key_id=st.sampled_from(["", "k1", "k2"]),
        agent=st.sampled_from(["", "a", "\x00"]),
        kind=st.sampled_from(["api", "self_hosted"]),
        status=st.sampled_from(["success", "cancelled", "cached", "upstream_error"]),
        usage=st.none() | st.builds(TokenUsage, *[st.integers(0, 2**31 - 1)] * 6),
        ttft_ms=st.none() | st.just(3.0),
        cost_usd=MONEY,
        api_equivalent_usd=MONEY,
    ),
    max_size=12,
)


@given(batches=st.lists(RECORDS, max_size=4), repeats=st.lists(st.integers(0, 3), max_size=3))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_totals_are_the_sums_of_the_calls_however_batches_come(
    database: Database, batches: list[list[CallRecord]], repeats: list[int]
) -> None:
    calls, reports = CallStore(lambda: database), CostReports(lambda: database)
    async with database.begin() as connection:
        await connection.execute(delete(llm_calls))
        await connection.execute(delete(llm_usage_daily))
    again = [batches[n] for n in repeats if n < len(batches)]
    await asyncio.gather(*(calls.write(batch) for batch in (*batches, *again)))
    everything = [each for batch in batches for each in batch]
    page = await reports.by("key", MONTH, tenant=None, limit=50, cursor="")
    assert {line.name: figures(line) for line in page.lines} == expected(everything)
    # The same from the calls themselves.
    whole = await reports.by("conversation", MONTH, tenant=None, limit=50, cursor="")
    named = [each._replace(key_id=each.conversation) for each in everything]
    assert {line.name: figures(line) for line in whole.lines} == expected(named)


def figures(line: Totals) -> list[object]:
    return [getattr(line, name) for name in Totals.__slots__ if name != "name"]


def expected(records: Sequence[CallRecord]) -> dict[str, list[object]]:
    groups: defaultdict[str, list[CallRecord]] = defaultdict(list)
    for each in records:
        groups[each.key_id].append(each)
    return {name: figures(totals(name, group)) for name, group in groups.items()}


def totals(name: str, group: Sequence[CallRecord]) -> Totals:
    known = [each.cost_usd for each in group if each.cost_usd is not None]
    used = [each.usage for each in group if each.usage is not None]
    equivalents = [each for each in group if each.api_equivalent_usd is not None]
    unknown = [
        each
        for each in group
        if each.cost_usd is None
        and (each.status == "success" or each.usage is not None or each.ttft_ms is not None)
    ]
    return Totals(
        name=name,
        calls=len(group),
        failed=sum(each.status == "upstream_error" for each in group),
        unpriced=len(unknown),
        prompt_tokens=sum(each.prompt_tokens for each in used),
        completion_tokens=sum(each.completion_tokens for each in used),
        cached_tokens=sum(each.cached_tokens for each in used),
        cache_write_tokens=sum(each.cache_write_tokens for each in used),
        reasoning_tokens=sum(each.reasoning_tokens for each in used),
        cost_usd=sum(known, Decimal(0)) if known else None,
        api_equivalent_usd=sum(
            (each.api_equivalent_usd or Decimal(0) for each in equivalents), Decimal(0)
        ),
        saved_usd=sum(
            (
                (each.api_equivalent_usd or 0) - (each.cost_usd or Decimal(0))
                for each in equivalents
            ),
            Decimal(0),
        ),
    )


async def test_a_replica_of_the_version_before_still_writes(database: Database) -> None:
    from sqlalchemy import text

    from agentcore.llm_gateway.store import llm_calls

    async with database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO llm_calls SELECT * FROM json_populate_recordset("
                "NULL::llm_calls, :rows) ON CONFLICT (id) DO NOTHING"
            ),
            {
                "rows": '[{"id": "0197a0c0-0000-7000-8000-000000000000", "at": "2026-01-10",'
                '"tenant": "acme", "subject": "s", "provider": "p", "model": "m", "kind": "api",'
                '"status": "success", "latency_ms": 1, "reason": "default", "trace_id": "",'
                '"private": false}]'
            },
        )
        row = (await connection.execute(select(llm_calls))).mappings().one()
    assert row["key_id"] is None
