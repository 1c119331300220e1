"""Reading the ledger: single calls, and the totals kept by day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    RowMapping,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
)

from agentcore.kit.db import Database
from agentcore.kit.errors import InvalidInput
from agentcore.llm_gateway.costs.models import (
    CallFilter,
    CallLine,
    CallPage,
    CostLine,
    Days,
    Dimension,
    Totals,
    TotalsPage,
    TraceCost,
)
from agentcore.llm_gateway.store import llm_calls, llm_usage_daily

COLUMNS = tuple(llm_calls.c[name] for name in CallLine.__slots__)
SUMMED = (
    "calls",
    "failed",
    "unpriced",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "api_equivalent_usd",
    "saved_usd",
)
# Behind all that is known.
UNKNOWN = Decimal(-1)
DAILY: dict[Dimension, Column[Any]] = {
    "agent": llm_usage_daily.c.agent,
    "key": llm_usage_daily.c.key_id,
    "model": llm_usage_daily.c.model,
    "provider": llm_usage_daily.c.provider,
}


OF_TRACES = text("""
SELECT asked.trace_id, asked.tenant, count(*) AS calls,
       sum(COALESCE(call.prompt_tokens, 0) + COALESCE(call.completion_tokens, 0)) AS tokens,
       COALESCE(sum(call.cost_usd), 0) AS cost_usd,
       count(*) FILTER (
         WHERE call.cost_usd IS NULL
           AND (call.status = 'success' OR call.prompt_tokens IS NOT NULL)
       ) AS unpriced
  FROM unnest(CAST(:traces AS text[]), CAST(:tenants AS text[])) AS asked (trace_id, tenant)
  JOIN llm_calls AS call USING (trace_id, tenant)
 GROUP BY asked.trace_id, asked.tenant
""")


class CostReports:
    """``tenant`` None is everybody. What was not flushed yet is in no report."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

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

        return [CostLine(**row) for row in await self._database().rows(statement)]

    async def by(
        self, dimension: Dimension, days: Days, *, tenant: str | None, limit: int, cursor: str
    ) -> TotalsPage:
        """The dearest first; what has no agent, key or conversation is under the empty name."""
        statement = _by_conversation(days) if dimension == "conversation" else _by(dimension, days)
        if tenant is not None:
            table = llm_calls if dimension == "conversation" else llm_usage_daily
            statement = statement.where(table.c.tenant == tenant)
        found = statement.subquery()
        cost = func.coalesce(found.c.cost_usd, literal(UNKNOWN))
        page = select(found).order_by(cost.desc(), found.c.name.desc())
        if cursor:
            page = page.where(tuple_(cost, found.c.name) < tuple_(*_place(cursor)))
        rows = await self._database().rows(page.limit(limit + 1))
        lines = tuple(Totals(**row) for row in rows[:limit])
        more = len(rows) > limit
        return TotalsPage(lines=lines, next_cursor=_totals_cursor(lines[-1]) if more else None)

    async def daily(self, days: Days, *, tenant: str | None, limit: int, cursor: str) -> TotalsPage:
        """The newest day first, named by its date; days without calls are left out."""
        daily = llm_usage_daily.c
        statement = (
            _sums(cast(daily.day, Text))
            .where(daily.day.between(days.first, days.last))
            .group_by(daily.day)
            .order_by(daily.day.desc())
            .limit(limit + 1)
        )
        if tenant is not None:
            statement = statement.where(daily.tenant == tenant)
        if cursor:
            statement = statement.where(daily.day < _day(cursor))
        rows = await self._database().rows(statement)
        lines = tuple(Totals(**row) for row in rows[:limit])
        return TotalsPage(lines=lines, next_cursor=lines[-1].name if len(rows) > limit else None)

    async def of_traces(self, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], TraceCost]:
        """Of those by trace id and tenant that have made calls."""
        traces, tenants = [trace for trace, _ in asked], [tenant for _, tenant in asked]
        rows = await self._database().settle(OF_TRACES, {"traces": traces, "tenants": tenants})
        return {
            (row["trace_id"], row["tenant"]): TraceCost(
                calls=row["calls"],
                tokens=int(row["tokens"]),
                cost_usd=None if row["unpriced"] else row["cost_usd"],
            )
            for row in rows
        }

    async def calls(self, wanted: CallFilter, *, limit: int, cursor: str) -> CallPage:
        calls = llm_calls.c
        statement = (
            select(*COLUMNS)
            .where(calls.at >= wanted.since, *_chosen(wanted))
            .order_by(calls.at.desc(), calls.id.desc())
            .limit(limit + 1)
        )
        if cursor:
            statement = statement.where(tuple_(calls.at, calls.id) < tuple_(*_moment(cursor)))
        rows = await self._database().rows(statement)
        lines = tuple(_line(row) for row in rows[:limit])
        return CallPage(calls=lines, next_cursor=_cursor(lines[-1]) if len(rows) > limit else None)


def _sums(name: ColumnElement[str]) -> Select[Any]:
    daily = llm_usage_daily.c
    cost = case((func.sum(daily.priced) > 0, func.sum(daily.cost_usd)))
    columns: list[ColumnElement[Any]] = [
        name.label("name"),
        *(cast(func.sum(daily[each]), daily[each].type).label(each) for each in SUMMED),
        cost.label("cost_usd"),
    ]
    return select(*columns)


def _by(dimension: Dimension, days: Days) -> Select[Any]:
    column = DAILY[dimension]
    inside = llm_usage_daily.c.day.between(days.first, days.last)
    return _sums(column).where(inside).group_by(column)


def _by_conversation(days: Days) -> Select[Any]:
    """From the calls themselves: there are too many conversations for totals by day."""
    calls = llm_calls.c
    unknown = calls.cost_usd.is_(None)
    used = (calls.status == "success") | calls.prompt_tokens.is_not(None)
    saved = calls.api_equivalent_usd - func.coalesce(calls.cost_usd, 0)
    name = func.coalesce(calls.conversation, "")
    summed = {
        **{each: calls[each] for each in SUMMED if each.endswith("_tokens")},
        "api_equivalent_usd": calls.api_equivalent_usd,
        "saved_usd": saved,
    }
    columns: list[ColumnElement[Any]] = [
        name.label("name"),
        func.count().label("calls"),
        func.count()
        .filter(calls.status.not_in(("success", "cancelled", "cached")))
        .label("failed"),
        func.count().filter(unknown, used | calls.ttft_ms.is_not(None)).label("unpriced"),
        *(func.coalesce(func.sum(value), 0).label(each) for each, value in summed.items()),
        func.sum(calls.cost_usd).label("cost_usd"),
    ]
    first = datetime.combine(days.first, time(), UTC)
    last = datetime.combine(days.last, time(), UTC) + timedelta(days=1)
    return select(*columns).where(calls.at >= first, calls.at < last).group_by(name)


def _chosen(wanted: CallFilter) -> list[ColumnElement[bool]]:
    calls = llm_calls.c
    chosen = (
        (calls.agent, wanted.agent),
        (calls.conversation, wanted.conversation),
        (calls.key_id, wanted.key),
        (calls.model, wanted.model),
        (calls.provider, wanted.provider),
        (calls.status, wanted.status),
    )
    conditions = [column == value for column, value in chosen if value]
    if wanted.tenant is not None:
        conditions.append(calls.tenant == wanted.tenant)
    return conditions


def _line(row: RowMapping) -> CallLine:
    return CallLine(**row)


def _totals_cursor(line: Totals) -> str:
    cost = "" if line.cost_usd is None else format(line.cost_usd, "f")
    return f"{cost}/{line.name}"


def _place(cursor: str) -> tuple[Decimal, str]:
    cost, slash, name = cursor.partition("/")
    try:
        place = (Decimal(cost), name) if cost else (UNKNOWN, name)
    except InvalidOperation as exc:
        raise _no_cursor(cursor) from exc
    if not slash or not place[0].is_finite():
        raise _no_cursor(cursor)
    return place


def _day(cursor: str) -> date:
    try:
        return datetime.strptime(cursor, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as exc:
        raise _no_cursor(cursor) from exc


def _cursor(line: CallLine) -> str:
    return f"{line.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}/{line.id}"


def _moment(cursor: str) -> tuple[datetime, UUID]:
    at, _, id_ = cursor.partition("/")
    try:
        moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return moment, UUID(id_)
    except ValueError as exc:
        raise _no_cursor(cursor) from exc


def _no_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(f"{cursor[:80]!r} is no cursor", hint="give a next_cursor")
