"""What was booked for model calls. It outlives playbooks: deleting one gives no money back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Numeric,
    Table,
    Uuid,
    delete,
    func,
    insert,
    select,
    update,
)

from agentcore.kit.db import metadata
from agentcore.kit.db_engine import AsyncConnection

BUDGET_LOCK = 0x_ACE_B0D6E7

evolution_bookings = Table(
    "evolution_bookings",
    metadata,
    Column("booking_id", Uuid, primary_key=True),
    Column("booked_at", DateTime(timezone=True), nullable=False),
    Column("cost_usd", Numeric, nullable=False),
    Index("ix_evolution_bookings_booked_at", "booked_at"),
)
_bookings = evolution_bookings.c


class BookingRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """One booking at a time, installation-wide, until the unit ends."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(BUDGET_LOCK)))

    async def add(
        self, booking_id: str, at: datetime, cost_usd: Decimal, *, forgetting: datetime
    ) -> None:
        """Book, and forget what was booked before ``forgetting``."""
        values = {"booking_id": UUID(booking_id), "booked_at": at, "cost_usd": cost_usd}
        old = delete(evolution_bookings).where(_bookings.booked_at < forgetting).cte("old")
        await self._connection.execute(insert(evolution_bookings).values(values).add_cte(old))

    async def settle(self, booking_id: str, cost_usd: Decimal) -> None:
        mine = _bookings.booking_id == UUID(booking_id)
        await self._connection.execute(
            update(evolution_bookings).where(mine).values(cost_usd=cost_usd)
        )

    async def spent_since(self, moment: datetime) -> Decimal:
        """US dollars booked from ``moment`` on. Hold the lock to act on the answer."""
        found = await self._connection.scalar(
            select(func.sum(_bookings.cost_usd)).where(_bookings.booked_at >= moment)
        )
        return Decimal(0) if found is None else Decimal(found)

    async def standing(
        self, month: datetime, minute: datetime
    ) -> tuple[Decimal, int, datetime | None]:
        """US dollars booked from ``month`` on; how many bookings were made after ``minute``, and
        when the first of them. Hold the lock to act on the answer.
        """
        recent = _bookings.booked_at > minute
        dollars = func.sum(_bookings.cost_usd).filter(_bookings.booked_at >= month)
        first = func.min(_bookings.booked_at).filter(recent)
        query = select(dollars, func.count().filter(recent), first)
        found = await self._connection.execute(
            query.where(_bookings.booked_at >= min(month, minute))
        )
        spent, count, oldest = found.one()
        return Decimal(0) if spent is None else Decimal(spent), int(count), oldest
