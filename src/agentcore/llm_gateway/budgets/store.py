"""Budgets in PostgreSQL: their terms, what is spent, and what each process holds of them.

A process gets more by a short transaction that locks the budget's row; all of it that any process
holds counts as used until it says what it has spent. So the sum over all processes can never
exceed the limit, whichever of them dies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    RowMapping,
    Select,
    Table,
    Text,
    Uuid,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.errors import InvalidInput
from agentcore.llm_gateway.budgets.models import (
    ZERO,
    Budget,
    BudgetPage,
    BudgetState,
    BudgetTerms,
    Drawn,
    Holding,
    period_end,
    period_start,
    portion,
)

# Columns whose names are those of a budget's parts.
TERMS = ("tenant", "scope", "target", "period", "limit_usd", "hard", "alert_share")
# A process tells of what it holds every few seconds; one that has not for so long is dead.
ABANDONED = timedelta(minutes=2)

llm_budgets = Table(
    "llm_budgets",
    metadata,
    Column("budget_id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("limit_usd", Numeric, nullable=False),
    Column("hard", Boolean, nullable=False),
    Column("alert_share", Numeric),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    Column("revision", BigInteger, nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("settled_usd", Numeric, nullable=False),
    Column("alerted_at", DateTime(timezone=True)),
    Index(
        "uq_llm_budgets_target",
        "tenant",
        "scope",
        "target",
        "period",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_llm_budgets_revision", "revision"),
)
llm_budget_holdings = Table(
    "llm_budget_holdings",
    metadata,
    Column("budget_id", Uuid, nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("holder", Uuid, nullable=False),
    Column("granted_usd", Numeric, nullable=False),
    Column("spent_usd", Numeric, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("budget_id", "period_start", "holder"),
)
# Counts changes of terms; its row's lock puts them in an order that readers can follow.
llm_budget_changes = Table(
    "llm_budget_changes",
    metadata,
    Column("one", Boolean, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
BEGIN_PERIODS = text(
    """
    WITH begun AS (
        UPDATE llm_budgets b
        SET period_start = told.period_start, settled_usd = 0, alerted_at = NULL
        FROM json_populate_recordset(NULL::llm_budget_holdings, :rows) AS told
        WHERE b.budget_id = told.budget_id AND b.period_start < told.period_start
        RETURNING b.budget_id, b.period_start
    )
    DELETE FROM llm_budget_holdings h USING begun
    WHERE h.budget_id = begun.budget_id AND h.period_start < begun.period_start
    """
)
TELL = text(
    """
    INSERT INTO llm_budget_holdings AS kept
    SELECT told.* FROM json_populate_recordset(NULL::llm_budget_holdings, :rows) AS told
    JOIN llm_budgets b ON b.budget_id = told.budget_id AND b.deleted_at IS NULL
        AND b.period_start = told.period_start
    ORDER BY told.budget_id
    ON CONFLICT (budget_id, period_start, holder) DO UPDATE SET
        granted_usd = EXCLUDED.granted_usd, spent_usd = EXCLUDED.spent_usd, seq = EXCLUDED.seq,
        seen_at = EXCLUDED.seen_at
    WHERE kept.seq < EXCLUDED.seq
    """
)
ALERT = text(
    """
    UPDATE llm_budgets b SET alerted_at = :at
    WHERE b.budget_id = ANY(:ids) AND b.alerted_at IS NULL
        AND b.limit_usd * b.alert_share <= b.settled_usd + (
            SELECT coalesce(sum(h.spent_usd), 0) FROM llm_budget_holdings h
            WHERE h.budget_id = b.budget_id AND h.period_start = b.period_start
        )
    RETURNING b.budget_id
    """
)
CLOSE = text(
    """
    WITH gone AS (
        DELETE FROM llm_budget_holdings h
        USING json_populate_recordset(NULL::llm_budget_holdings, :rows) AS told
        WHERE h.budget_id = told.budget_id AND h.period_start = told.period_start
            AND h.holder = told.holder
        RETURNING h.budget_id, h.period_start, told.spent_usd
    )
    UPDATE llm_budgets b SET settled_usd = b.settled_usd + gone.spent_usd
    FROM gone WHERE b.budget_id = gone.budget_id AND b.period_start = gone.period_start
    """
)


class BudgetStore:
    """``database`` is asked for at each call: it opens after the routes are declared."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def set(self, tenant: str, terms: BudgetTerms, *, new_id: UUID, now: datetime) -> UUID:
        """Make the budget, or change its terms where there is one; returns its id."""
        values = {
            "limit_usd": terms.limit_usd,
            "hard": terms.hard,
            "alert_share": terms.alert_share,
        }

        async def work(connection: AsyncConnection) -> UUID:
            revision = await _changed(connection)
            columns = llm_budgets.c
            statement = insert(llm_budgets).values(
                budget_id=new_id,
                tenant=tenant,
                scope=terms.scope,
                target=terms.target,
                period=terms.period,
                created_at=now,
                revision=revision,
                period_start=period_start(terms.period, now),
                settled_usd=ZERO,
                **values,
            )
            kept = statement.on_conflict_do_update(
                index_elements=[columns.tenant, columns.scope, columns.target, columns.period],
                index_where=columns.deleted_at.is_(None),
                set_={**values, "revision": revision, "alerted_at": None},
            ).returning(columns.budget_id)
            return UUID(str(await connection.scalar(kept)))

        return await self._database().run(work)

    async def delete(self, budget_id: UUID, *, tenant: str | None, now: datetime) -> bool:
        """False where the tenant has no such budget."""

        async def work(connection: AsyncConnection) -> bool:
            columns = llm_budgets.c
            statement = (
                update(llm_budgets)
                .where(columns.budget_id == budget_id, columns.deleted_at.is_(None))
                .values(deleted_at=now, revision=await _changed(connection))
            )
            if tenant is not None:
                statement = statement.where(columns.tenant == tenant)
            if (await connection.execute(statement)).rowcount == 0:
                return False
            held = llm_budget_holdings.c.budget_id == budget_id
            await connection.execute(delete(llm_budget_holdings).where(held))
            return True

        return await self._database().run(work)

    async def changed(self, since: int) -> tuple[int, list[tuple[Budget, bool]]]:
        """The last revision, and the budgets changed after ``since``, each with whether it is
        still there.
        """
        columns = llm_budgets.c
        statement = select(llm_budgets).where(columns.revision > since)
        rows = await self._database().rows(statement)
        last = max((row["revision"] for row in rows), default=since)
        return last, [(_budget(row), row["deleted_at"] is None) for row in rows]

    async def page(
        self, *, tenant: str | None, now: datetime, limit: int, cursor: str
    ) -> BudgetPage:
        """In the order of their making."""
        columns = llm_budgets.c
        statement = _states(now).order_by(columns.created_at, columns.budget_id).limit(limit + 1)
        if tenant is not None:
            statement = statement.where(columns.tenant == tenant)
        if cursor:
            after = select(columns.created_at, columns.budget_id).where(
                columns.budget_id == _id(cursor)
            )
            statement = statement.where(
                tuple_(columns.created_at, columns.budget_id) > after.scalar_subquery()
            )
        rows = await self._database().rows(statement)
        states = tuple(_state(row, now) for row in rows[:limit])
        return BudgetPage(
            budgets=states, next_cursor=str(states[-1].id) if len(rows) > limit else None
        )

    async def state(self, budget_id: UUID, *, now: datetime) -> BudgetState | None:
        statement = _states(now).where(llm_budgets.c.budget_id == budget_id)
        row = await self._database().row(statement)
        return None if row is None else _state(row, now)

    async def draw(
        self, holding: Holding, *, need: Decimal, share: Decimal, now: datetime
    ) -> Drawn | None:
        """Grant ``need`` more to the holder, and some beyond it, up to ``share`` of the limit.

        Nothing where so much is not left; None where the budget is gone.
        """

        async def work(connection: AsyncConnection) -> Drawn | None:
            columns = llm_budgets.c
            wanted = select(llm_budgets).where(
                columns.budget_id == holding.budget_id, columns.deleted_at.is_(None)
            )
            row = (await connection.execute(wanted.with_for_update())).mappings().first()
            if row is None:
                return None
            start = max(row["period_start"], period_start(row["period"], now))
            if start > row["period_start"]:
                row = await _begin(connection, row, start)
            used, held = await _others(connection, row, holding.holder, now)
            same = start == holding.start
            kept = holding.granted if same else ZERO
            spent = holding.spent if same else ZERO
            available = row["limit_usd"] - used - held - kept
            granted = kept + portion(available, need, row["limit_usd"] * share)
            own = holding._replace(start=start, granted=granted, spent=spent)
            await _write(connection, own, now)
            return Drawn(start, granted, row["limit_usd"], used + spent, held)

        return await self._database().run(work)

    async def tell(self, holdings: Sequence[Holding], *, now: datetime) -> list[UUID]:
        """Enter what a process holds; returns the budgets that have just passed their alert."""
        rows = _rows(holdings, now)
        ids = [holding.budget_id for holding in holdings]

        async def work(connection: AsyncConnection) -> list[UUID]:
            await connection.execute(BEGIN_PERIODS, {"rows": rows})
            await connection.execute(TELL, {"rows": rows})
            alerted = await connection.execute(ALERT, {"ids": ids, "at": now})
            return [row[0] for row in alerted]

        return await self._database().run(work)

    async def close(self, holdings: Sequence[Holding]) -> None:
        """The holder is done with these; what it spent stays spent."""
        rows = _rows(holdings, None)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(CLOSE, {"rows": rows})

        await self._database().run(work)


def _states(now: datetime) -> Select[Any]:
    """Budgets with what is spent, held and lost of them in their period."""
    columns, kept = llm_budgets.c, llm_budget_holdings.c
    beyond, dead = kept.granted_usd - kept.spent_usd, kept.seen_at < now - ABANDONED
    sums = (
        select(
            kept.budget_id,
            kept.period_start,
            func.sum(kept.spent_usd).label("spent"),
            func.sum(beyond).filter(~dead).label("held"),
            func.sum(beyond).filter(dead).label("lost"),
        )
        .group_by(kept.budget_id, kept.period_start)
        .subquery()
    )
    same = (sums.c.budget_id == columns.budget_id) & (sums.c.period_start == columns.period_start)
    return (
        select(llm_budgets, sums.c.spent, sums.c.held, sums.c.lost)
        .select_from(llm_budgets.outerjoin(sums, same))
        .where(columns.deleted_at.is_(None))
    )


async def _changed(connection: AsyncConnection) -> int:
    """The number of this change; the next one waits until it is committed."""
    table = llm_budget_changes
    statement = insert(table).values(one=True, revision=1)
    counted = statement.on_conflict_do_update(
        index_elements=[table.c.one], set_={"revision": table.c.revision + 1}
    ).returning(table.c.revision)
    return int(await connection.scalar(counted) or 0)


async def _begin(connection: AsyncConnection, row: RowMapping, start: datetime) -> RowMapping:
    """A new period: nothing of the one before counts any more."""
    columns = llm_budgets.c
    held = llm_budget_holdings.c
    await connection.execute(
        delete(llm_budget_holdings).where(
            held.budget_id == row["budget_id"], held.period_start < start
        )
    )
    statement = (
        update(llm_budgets)
        .where(columns.budget_id == row["budget_id"])
        .values(period_start=start, settled_usd=ZERO, alerted_at=None)
        .returning(*columns)
    )
    return (await connection.execute(statement)).mappings().one()


async def _others(
    connection: AsyncConnection, row: RowMapping, holder: UUID, now: datetime
) -> tuple[Decimal, Decimal]:
    """What is used without the holder's own part, and what the others hold beyond it.

    What a dead process held is used: nobody knows how much of it was spent.
    """
    columns = llm_budget_holdings.c
    others = await connection.execute(
        select(llm_budget_holdings).where(
            columns.budget_id == row["budget_id"],
            columns.period_start == row["period_start"],
            columns.holder != holder,
        )
    )
    used, held = row["settled_usd"], ZERO
    for other in others.mappings():
        dead = other["seen_at"] < now - ABANDONED
        used += other["granted_usd"] if dead else other["spent_usd"]
        held += ZERO if dead else other["granted_usd"] - other["spent_usd"]
    return used, held


async def _write(connection: AsyncConnection, holding: Holding, now: datetime) -> None:
    values = {
        "granted_usd": holding.granted,
        "spent_usd": holding.spent,
        "seq": holding.seq,
        "seen_at": now,
    }
    statement = insert(llm_budget_holdings).values(
        budget_id=holding.budget_id,
        period_start=holding.start,
        holder=holding.holder,
        **values,
    )
    await connection.execute(
        statement.on_conflict_do_update(
            constraint=llm_budget_holdings.primary_key,
            set_=values,
            where=llm_budget_holdings.c.seq < holding.seq,
        )
    )


def _rows(holdings: Sequence[Holding], seen: datetime | None) -> str:
    rows = [
        {
            "budget_id": each.budget_id,
            "period_start": each.start,
            "holder": each.holder,
            "granted_usd": each.granted,
            "spent_usd": each.spent,
            "seq": each.seq,
            "seen_at": seen,
        }
        for each in holdings
    ]
    return orjson.dumps(rows, default=str).decode()


def _budget(row: RowMapping) -> Budget:
    return Budget(row["budget_id"], **_terms(row))


def _state(row: RowMapping, now: datetime) -> BudgetState:
    begun = max(row["period_start"], period_start(row["period"], now))
    fresh = begun > row["period_start"]
    return BudgetState(
        id=row["budget_id"],
        **_terms(row),
        spent_usd=ZERO if fresh else row["settled_usd"] + (row["spent"] or ZERO),
        held_usd=ZERO if fresh else row["held"] or ZERO,
        lost_usd=ZERO if fresh else row["lost"] or ZERO,
        alerted_at=None if fresh else row["alerted_at"],
        resets_at=period_end(row["period"], begun),
    )


def _terms(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in TERMS}


def _id(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError as exc:
        raise InvalidInput(f"{cursor[:80]!r} is no cursor", hint="give a next_cursor") from exc
