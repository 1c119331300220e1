"""What a call came to: its price, its line on the ledger, its part of the metrics and statistics.

Only memory is touched; the ledger is written in the background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.metrics import ANSWERED, LEFT, GatewayMetrics, Series
from agentcore.llm_gateway.models import CallRecord, ChatCall, Reason, TokenUsage
from agentcore.llm_gateway.prices import Price, PriceBook

Status = str
SUCCESS: Status = ANSWERED
CANCELLED: Status = LEFT
CACHED: Status = "cached"
NOTHING = Decimal(0)


class Outcome(NamedTuple):
    """How a call ended at the provider that carried it last. Moments are of the monotonic clock.

    ``written`` and ``events`` are what the caller got of the answer, where somebody counts it.
    """

    id: UUID
    call: ChatCall
    destination: Destination
    price: Price | None
    reason: Reason
    status: Status
    began: float
    first_chunk: float | None = None
    usage: TokenUsage | None = None
    attempts: int = 1
    written: int = 0
    events: int = 0

    def replied(self, usage: TokenUsage | None, written: int) -> Outcome:
        """The same with a plain answer; ``_replace`` would take three times as long."""
        return Outcome(*self[:8], usage, self.attempts, written)


@dataclass(slots=True)
class RoutingStats:
    """Counts since the process began; answers only, failures are in the metrics."""

    parallax_requests: int = 0
    api_requests: Counter[str] = field(default_factory=Counter)
    routing_reasons: Counter[str] = field(default_factory=Counter)
    cost_savings: Decimal = Decimal(0)
    api_cost: Decimal = Decimal(0)
    _parallax_ms: float = 0.0
    _api_ms: float = 0.0

    @property
    def total_requests(self) -> int:
        return self.parallax_requests + self.api_requests.total()

    @property
    def parallax_percentage(self) -> float:
        total = self.total_requests
        return 100.0 * self.parallax_requests / total if total else 0.0

    @property
    def avg_latency_parallax(self) -> float | None:
        """Milliseconds; None before the first answer."""
        return self._parallax_ms / self.parallax_requests if self.parallax_requests else None

    @property
    def avg_latency_api(self) -> float | None:
        total = self.api_requests.total()
        return self._api_ms / total if total else None

    def record_parallax_request(self, latency_ms: float) -> None:
        self.parallax_requests += 1
        self._parallax_ms += latency_ms

    def record_api_request(self, *, provider: str, latency_ms: float, cost: Decimal | None) -> None:
        """``cost`` None: it is not known, and the sum is of the others."""
        self.api_requests[provider] += 1
        self._api_ms += latency_ms
        if cost is not None:
            self.api_cost += cost


class Accounts:
    def __init__(
        self,
        *,
        prices: PriceBook,
        metrics: GatewayMetrics,
        record: Callable[[CallRecord], None],
        clock: Clock,
    ) -> None:
        self.prices = prices
        self.metrics = metrics
        self.stats = RoutingStats()
        self._record = record
        self._clock = clock

    def failed_attempt(self, outcome: Outcome) -> None:
        """A provider failed before the caller saw anything; somebody else may still answer."""
        self._series(outcome).ended(outcome.status)

    def write_off(self, outcome: Outcome) -> None:
        """Nobody answered: one line for the call, whose attempts are counted already."""
        seconds = self._clock.monotonic() - outcome.began
        self._record(self._line(outcome, seconds, None, None))

    def settle(self, outcome: Outcome) -> Decimal | None:
        """Enter the call everywhere; returns its cost, None where it is unknown."""
        now = self._clock.monotonic()
        seconds = now - outcome.began
        cost = _priced(outcome.price, outcome.usage)
        equivalent = None
        if outcome.destination.self_hosted:
            equivalent = _priced(self.prices.reference, outcome.usage)
        self._count(outcome, seconds, cost)
        if outcome.status == SUCCESS:
            self._tally(outcome, seconds, cost, equivalent)
        self._record(self._line(outcome, seconds, cost, equivalent))
        return cost

    def repeated(self, outcome: Outcome) -> None:
        """An answer was given again: it is on the ledger, and cost nothing."""
        line = outcome._replace(status=CACHED)
        self._series(line).ended(CACHED)
        seconds = self._clock.monotonic() - outcome.began
        self._record(self._line(line, seconds, NOTHING, None))

    def _series(self, outcome: Outcome) -> Series:
        there = outcome.destination
        return self.metrics.series(there.name, outcome.call.model, self_hosted=there.self_hosted)

    def _count(self, outcome: Outcome, seconds: float, cost: Decimal | None) -> None:
        series = self._series(outcome)
        answered = outcome.status == SUCCESS
        if answered:
            first = outcome.first_chunk
            series.succeeded(seconds, None if first is None else first - outcome.began)
        else:
            series.ended(outcome.status)
        if outcome.usage is not None:
            series.used(outcome.usage, cost)
        elif answered:
            series.uncounted()

    def _tally(
        self,
        outcome: Outcome,
        seconds: float,
        cost: Decimal | None,
        equivalent: Decimal | None,
    ) -> None:
        stats = self.stats
        stats.routing_reasons[outcome.reason] += 1
        if outcome.destination.self_hosted:
            stats.record_parallax_request(seconds * 1000)
            if cost is not None and equivalent is not None and equivalent > cost:
                stats.cost_savings += equivalent - cost
                self.metrics.savings += float(equivalent - cost)
            return
        stats.record_api_request(
            provider=outcome.destination.name, latency_ms=seconds * 1000, cost=cost
        )
        if outcome.reason == "cluster_saturated" and cost is not None:
            self.metrics.overflow += float(cost)

    def _line(
        self, outcome: Outcome, seconds: float, cost: Decimal | None, equivalent: Decimal | None
    ) -> CallRecord:
        call, first = outcome.call, outcome.first_chunk
        there, price = outcome.destination, outcome.price
        # By position, in the order of the fields: names would take three times as long.
        return CallRecord(
            outcome.id,
            self._clock.now(),
            call.tenant,
            call.subject,
            there.name,
            call.model,
            "self_hosted" if there.self_hosted else "api",
            outcome.status,
            outcome.usage,
            seconds * 1000,
            None if first is None else (first - outcome.began) * 1000,
            cost,
            equivalent,
            outcome.reason,
            call.trace_id,
            call.requires_privacy,
            call.key_id,
            call.agent,
            call.conversation,
            call.dialect,
            None if price is None else price.source,
            outcome.attempts,
            call.traceparent,
        )


def statistics(stats: RoutingStats) -> Mapping[str, object]:
    """The seed's keys (000, section 3.2), and what the APIs' answers came to."""
    return {
        "total_requests": stats.total_requests,
        "parallax_requests": stats.parallax_requests,
        "parallax_percentage": stats.parallax_percentage,
        "api_requests_by_provider": dict(stats.api_requests),
        "avg_latency_parallax": stats.avg_latency_parallax,
        "avg_latency_api": stats.avg_latency_api,
        "cost_savings": stats.cost_savings,
        "api_cost": stats.api_cost,
        "routing_reasons": dict(stats.routing_reasons),
    }


def _priced(price: Price | None, usage: TokenUsage | None) -> Decimal | None:
    return None if price is None or usage is None else price.of(usage)
