"""What the reports say. Money is USD; None where no call's cost is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from agentcore.llm_gateway.models import Hosting

Dimension = Literal["agent", "key", "model", "provider", "conversation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """Totals of one provider. ``unpriced`` of its ``calls`` have no known cost."""

    provider: str
    kind: Hosting
    calls: int
    unpriced: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None
    api_equivalent_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What some calls came to. ``unpriced`` of them used tokens whose cost is unknown: they are in
    no sum. ``saved_usd`` is what those of own hardware would have cost more on the API.
    """

    name: str
    calls: int
    failed: int
    unpriced: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    api_equivalent_usd: Decimal
    saved_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsPage:
    """``next_cursor`` is None on the last page."""

    lines: tuple[Totals, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """From the first to the last day, in UTC, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls; an empty text is everything."""

    tenant: str | None
    since: datetime
    agent: str = ""
    conversation: str = ""
    key: str = ""
    model: str = ""
    provider: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLine:
    """One call as the ledger has it."""

    id: UUID
    at: datetime
    tenant: str
    subject: str
    key_id: str | None
    agent: str | None
    conversation: str | None
    provider: str
    model: str
    kind: str
    dialect: str | None
    status: str
    attempts: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    latency_ms: float
    ttft_ms: float | None
    cost_usd: Decimal | None
    price_source: str | None
    api_equivalent_usd: Decimal | None
    reason: str
    trace_id: str
    private: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCost:
    """All calls of one trace; ``cost_usd`` is None where one of them has no known price."""

    calls: int
    tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """The newest calls first; ``next_cursor`` is None on the last page."""

    calls: tuple[CallLine, ...]
    next_cursor: str | None
