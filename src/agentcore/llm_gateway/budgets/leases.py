"""A process's part of a budget. Nothing here waits for anything."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from agentcore.llm_gateway.budgets.models import (
    ZERO,
    Budget,
    Drawn,
    Holding,
    period_end,
    period_start,
)


class Lease:
    """What this process was granted of a budget in one period, and what became of it.

    Invariant: ``reserved`` + ``spent`` exceed ``granted`` only by what calls have cost more than
    was reserved for them.
    """

    __slots__ = (
        "_seq",
        "borrowed",
        "budget",
        "drawing",
        "granted",
        "holder",
        "quiet",
        "reserved",
        "spent",
        "start",
        "told",
        "until",
    )

    def __init__(self, budget: Budget, start: datetime, holder: UUID, seq: int = 0) -> None:
        """``holder`` is the lease's own name, given to no other one."""
        self.budget = budget
        self.holder = holder
        self.start = start
        self.until = period_end(budget.period, start)
        self.granted = self.reserved = self.spent = ZERO
        # Taken while the database was away; what it has granted since is not.
        self.borrowed = ZERO
        # Held by whoever tells the database about this lease.
        self.drawing = asyncio.Lock()
        self.told = True
        # Ticks since it was used last.
        self.quiet = 0
        self._seq = seq

    @classmethod
    def opened(cls, budget: Budget, now: datetime, holder: UUID) -> Lease:
        return cls(budget, period_start(budget.period, now), holder)

    def following(self, start: datetime) -> Lease:
        """The same in a later period."""
        return Lease(self.budget, start, self.holder, self._seq)

    @property
    def free(self) -> Decimal:
        return self.granted - self.reserved - self.spent

    def over(self, now: datetime) -> bool:
        return self.until is not None and now >= self.until

    def take(self, amount: Decimal) -> bool:
        """Reserve ``amount``, if it is there."""
        if amount > self.free:
            return False
        self.reserved += amount
        self.quiet = 0
        return True

    def settle(self, reserved: Decimal, cost: Decimal) -> None:
        """A call is over: what was reserved for it is free again, what it cost is spent."""
        self.reserved -= reserved
        self.quiet = 0
        if cost:
            self.spent += cost
            self.told = False

    def shrink(self, keep: Decimal = ZERO) -> None:
        """Give back what is not needed now, but for ``keep``."""
        needed = self.reserved + self.spent + keep
        if self.granted > needed:
            self.granted = needed
            self.told = False

    def drawn(self, drawn: Drawn) -> None:
        self.granted = drawn.granted
        self.borrowed = ZERO

    def borrow(self, amount: Decimal, most: Decimal) -> bool:
        """Take ``amount`` unasked, up to ``most`` in all."""
        if self.borrowed + amount > most:
            return False
        self.borrowed += amount
        self.granted += amount
        self.told = False
        return True

    def holding(self) -> Holding:
        """What to tell the database, later than all before."""
        self._seq += 1
        # What was never granted is spent all the same.
        granted = max(self.granted, self.spent + self.reserved)
        return Holding(self.budget.id, self.start, self.holder, granted, self.spent, self._seq)
