"""Series of the gateway: the seeds' names where they can exist, else OpenTelemetry's GenAI names.

A call adds to plain numbers of its provider and model; Prometheus' families are made of them when
somebody asks. Labels are bounded by the configuration: providers, served models, error codes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agentcore.kit.resilience import BreakerState, CircuitBreaker
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.models import TokenUsage

# A stalled cluster answers after 97 s; the buckets must be able to show it.
LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
FIRST_CHUNK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ANSWERED = "success"
LEFT = "cancelled"
# As the context layer's own breaker is shown.
BREAKER: Mapping[BreakerState, int] = {"closed": 0, "open": 1, "half_open": 2}


class Distribution:
    """Observations counted by upper bound; two of the same bounds can be added."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add(self, other: Distribution) -> None:
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self._sum += other._sum

    def export(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        seen = 0
        buckets = []
        for name, count in zip(names, self._counts, strict=True):
            seen += count
            buckets.append((name, seen))
        family.add_metric(labels, buckets, self._sum)


class Series:
    """The numbers of one provider and served model."""

    __slots__ = (
        "completion_tokens",
        "cost",
        "duration",
        "first_chunk",
        "model",
        "prompt_tokens",
        "provider",
        "self_hosted",
        "statuses",
        "unpriced",
    )

    def __init__(self, provider: str, model: str, *, self_hosted: bool) -> None:
        self.provider = provider
        self.model = model
        self.self_hosted = self_hosted
        self.statuses: Counter[str] = Counter()
        self.duration = Distribution(LATENCY)
        self.first_chunk = Distribution(FIRST_CHUNK)
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost = 0.0
        self.unpriced = 0

    def succeeded(self, seconds: float, first_chunk: float | None) -> None:
        self.statuses[ANSWERED] += 1
        self.duration.observe(seconds)
        if first_chunk is not None:
            self.first_chunk.observe(first_chunk)

    def ended(self, status: str) -> None:
        """Otherwise than well: cancelled, or failed with this error code."""
        self.statuses[status] += 1

    def used(self, usage: TokenUsage, cost: Decimal | None) -> None:
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        if cost is None:
            self.unpriced += 1
        elif cost:
            self.cost += float(cost)

    def uncounted(self) -> None:
        """The provider told no usage: what it cost is unknown."""
        self.unpriced += 1


class GatewayMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.savings = 0.0
        self.overflow = 0.0
        self.refused = PrometheusCounter(
            "llm_requests_refused_total",
            "Calls that no provider was asked for",
            ["code"],
            registry=registry,
        )
        self.shadows_dropped = PrometheusCounter(
            "llm_shadows_dropped_total",
            "Copies of calls that there was no room for",
            registry=registry,
        )
        self.ledger_dropped = PrometheusCounter(
            "llm_ledger_dropped_total",
            "Calls lost because the ledger's buffer was full",
            registry=registry,
        )
        self.budget_alerts = PrometheusCounter(
            "llm_budget_alerts_total",
            "Budgets that were nearly used up, once a period",
            ["scope"],
            registry=registry,
        )
        self.ledger_pending = Gauge(
            "llm_ledger_pending", "Calls not yet written to the ledger", registry=registry
        )
        self.gates: dict[str, Gate] = {}
        self.breakers: Mapping[str, CircuitBreaker] = {}
        self._series: dict[tuple[str, str], Series] = {}
        registry.register(self)

    def series(self, provider: str, model: str, *, self_hosted: bool) -> Series:
        key = (provider, model)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series(provider, model, self_hosted=self_hosted)
        return found

    def collect(self) -> Iterator[Metric]:
        everything = list(self._series.values())
        own = [each for each in everything if each.self_hosted]
        yield from _by_provider(everything)
        yield from _by_model(own)
        yield from _by_both(everything)
        yield from _of_gates(self.gates)
        yield _of_breakers(self.breakers)
        yield _histogram(
            HistogramMetricFamily(
                "api_request_latency_seconds",
                "Time to the last byte, API providers",
                labels=["provider"],
            ),
            (each for each in everything if not each.self_hosted),
            lambda each: each.provider,
        )
        yield CounterMetricFamily(
            "parallax_cost_savings_dollars_total",
            "USD that self-hosted calls would have cost more on the reference API model",
            value=self.savings,
        )
        yield CounterMetricFamily(
            "parallax_api_overflow_cost_dollars_total",
            "USD spent on APIs because the cluster could not take the call",
            value=self.overflow,
        )


def _by_provider(everything: list[Series]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "llm_requests_total",
        "Attempts by provider and outcome: success, cancelled or an error code",
        labels=["provider", "status"],
    )
    cost = CounterMetricFamily("llm_cost_dollars_total", "USD spent", labels=["provider"])
    unpriced = CounterMetricFamily(
        "llm_unpriced_requests_total", "Calls whose cost is unknown", labels=["provider"]
    )
    for provider in dict.fromkeys(each.provider for each in everything):
        mine = [each for each in everything if each.provider == provider]
        statuses: Counter[str] = Counter()
        for each in mine:
            statuses.update(each.statuses)
        for status, count in statuses.items():
            requests.add_metric([provider, status], count)
        cost.add_metric([provider], sum(each.cost for each in mine))
        unpriced.add_metric([provider], sum(each.unpriced for each in mine))
    yield from (requests, cost, unpriced)


def _by_model(own: list[Series]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "parallax_requests_total", "Calls to self-hosted clusters", labels=["status", "model"]
    )
    errors = CounterMetricFamily(
        "parallax_errors_total", "Errors of self-hosted clusters", labels=["error_type"]
    )
    outcomes: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    for each in own:
        for status, count in each.statuses.items():
            known = status if status in {ANSWERED, LEFT} else "error"
            outcomes[known, each.model] += count
            if known == "error":
                kinds[status] += count
    for (status, model), count in outcomes.items():
        requests.add_metric([status, model], count)
    for kind, count in kinds.items():
        errors.add_metric([kind], count)
    yield from (requests, errors)
    yield _histogram(
        HistogramMetricFamily(
            "parallax_request_latency_seconds",
            "Time to the last byte, self-hosted",
            labels=["model"],
        ),
        own,
        lambda each: each.model,
    )


def _by_both(everything: list[Series]) -> Iterator[Metric]:
    labels = ["provider", "model"]
    duration = HistogramMetricFamily(
        "gen_ai_client_operation_duration_seconds", "GenAI operation duration", labels=labels
    )
    first = HistogramMetricFamily(
        "gen_ai_client_time_to_first_chunk_seconds",
        "Time to the first content of a stream",
        labels=labels,
    )
    tokens = CounterMetricFamily(
        "gen_ai_client_tokens_total", "Tokens used", labels=[*labels, "token_type"]
    )
    for each in everything:
        named = [each.provider, each.model]
        each.duration.export(duration, named)
        each.first_chunk.export(first, named)
        tokens.add_metric([*named, "input"], each.prompt_tokens)
        tokens.add_metric([*named, "output"], each.completion_tokens)
    yield from (duration, first, tokens)


def _of_gates(gates: Mapping[str, Gate]) -> Iterator[Metric]:
    running = GaugeMetricFamily("llm_in_flight", "Calls under way", labels=["provider"])
    limits = GaugeMetricFamily(
        "llm_capacity_limit", "Calls let in at once; absent where unknown", labels=["provider"]
    )
    queued = GaugeMetricFamily(
        "llm_queue_length", "Calls that wait to be let in", labels=["provider", "priority"]
    )
    for name, gate in gates.items():
        running.add_metric([name], gate.in_flight)
        if gate.limit is not None:
            limits.add_metric([name], gate.limit)
        for priority, length in gate.queued.items():
            queued.add_metric([name, priority], length)
    yield from (running, limits, queued)


def _of_breakers(breakers: Mapping[str, CircuitBreaker]) -> Metric:
    states = GaugeMetricFamily(
        "llm_breaker_state",
        "Circuit breaker state: 0 closed, 1 open, 2 half-open",
        labels=["provider"],
    )
    for name, breaker in breakers.items():
        states.add_metric([name], BREAKER[breaker.state])
    return states


def _histogram(
    family: HistogramMetricFamily, series: Iterable[Series], label: Callable[[Series], str]
) -> HistogramMetricFamily:
    merged: defaultdict[str, Distribution] = defaultdict(lambda: Distribution(LATENCY))
    for each in series:
        merged[label(each)].add(each.duration)
    for name, distribution in merged.items():
        distribution.export(family, [name])
    return family
