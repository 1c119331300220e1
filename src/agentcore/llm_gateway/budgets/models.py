"""Budgets as values: what is allowed, what is left, and when it begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

BudgetScope = Literal["tenant", "key", "agent"]
Period = Literal["day", "month", "total"]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=12)]
Share = Annotated[Decimal, Field(gt=0, le=1, decimal_places=4)]
Name = Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
EVER = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = Decimal(0)
FINEST = Decimal("1e-12")


class BudgetTerms(BaseModel):
    """What a budget allows. Setting one again changes its terms and keeps what was spent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: BudgetScope = Field(description="Whose calls count: the tenant's, a key's, an agent's.")
    target: Name = Field("", description="The key's id or the agent's name; empty for the tenant.")
    period: Period = Field(description="What it is for; a day and a month begin at 0:00 UTC.")
    limit_usd: Usd = Field(description="USD that may be spent in a period.")
    hard: bool = Field(True, description="Refuse what would exceed it; else it only tells.")
    alert_share: Share | None = Field(
        Decimal("0.8"), description="Tell when this share is spent; null: never."
    )

    @model_validator(mode="after")
    def _targeted(self) -> Self:
        if (self.scope == "tenant") != (self.target == ""):
            raise ValueError("target: give the key's id or the agent's name, none for a tenant")
        return self


class Budget(NamedTuple):
    """A budget as the data path knows it."""

    id: UUID
    tenant: str
    scope: BudgetScope
    target: str
    period: Period
    limit_usd: Decimal
    hard: bool
    alert_share: Decimal | None = None

    @property
    def whose(self) -> str:
        return f"{self.scope} {self.target or self.tenant!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """``spent_usd`` is what calls have cost and processes have told, at most a second late.

    ``held_usd`` is granted to processes and not spent; ``lost_usd`` was granted to processes that
    died: nobody knows how much of it they had spent, so it counts as spent until the period ends.
    """

    id: UUID
    tenant: str
    scope: BudgetScope
    target: str
    period: Period
    limit_usd: Decimal
    hard: bool
    alert_share: Decimal | None
    spent_usd: Decimal
    held_usd: Decimal
    lost_usd: Decimal
    alerted_at: datetime | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPage:
    budgets: tuple[BudgetState, ...]
    next_cursor: str | None


class Holding(NamedTuple):
    """What one process says of its part of a budget: absolute numbers, so that telling them twice
    changes nothing. Of two tellings the one with the higher ``seq`` is the later.
    """

    budget_id: UUID
    start: datetime
    holder: UUID
    granted: Decimal
    spent: Decimal
    seq: int


class Drawn(NamedTuple):
    """What asking for more came to; ``used`` is spent and lost over all processes, ``held`` what
    the other ones hold. ``granted`` is this process's part now.
    """

    start: datetime
    granted: Decimal
    limit: Decimal
    used: Decimal
    held: Decimal


def period_start(period: Period, now: datetime) -> datetime:
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day
    return day.replace(day=1) if period == "month" else EVER


def period_end(period: Period, start: datetime) -> datetime | None:
    """None: it never ends."""
    if period == "day":
        return start + timedelta(days=1)
    if period == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return None


def portion(available: Decimal, need: Decimal, chunk: Decimal) -> Decimal:
    """How much of what is available somebody gets who needs so much now.

    More than is needed spares the next calls the asking. The less there is, the less more: the
    other processes must find something, too.
    """
    if need > available:
        return ZERO
    spare = min(chunk, (available - need) / 4)
    return need + spare.quantize(FINEST, ROUND_DOWN)
