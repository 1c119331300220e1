"""Series of the gateway: the seeds' names where they can exist, else OpenTelemetry's GenAI names.

Labels are bounded by the configuration: providers, served models, error codes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentcore.llm_gateway.models import TokenUsage

# A stalled cluster answers after 97 s; the buckets must be able to show it.
LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
FIRST_CHUNK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter, histogram = _makers(registry)
        self.requests = counter(
            "llm_requests_total",
            "Attempts by provider and outcome: success, cancelled or an error code",
            ["provider", "status"],
        )
        self.refused = counter(
            "llm_requests_refused_total", "Calls that no provider was asked for", ["code"]
        )
        self.parallax_requests = counter(
            "parallax_requests_total", "Calls to self-hosted clusters", ["status", "model"]
        )
        self.parallax_latency = histogram(
            "parallax_request_latency_seconds", "Time to the last byte, self-hosted", ["model"]
        )
        self.parallax_errors = counter(
            "parallax_errors_total", "Errors of self-hosted clusters", ["error_type"]
        )
        self.api_latency = histogram(
            "api_request_latency_seconds", "Time to the last byte, API providers", ["provider"]
        )
        self.duration = histogram(
            "gen_ai_client_operation_duration_seconds",
            "GenAI operation duration",
            ["provider", "model"],
        )
        self.first_chunk = Histogram(
            "gen_ai_client_time_to_first_chunk_seconds",
            "Time to the first content of a stream",
            ["provider", "model"],
            buckets=FIRST_CHUNK,
            registry=registry,
        )
        self.tokens = counter(
            "gen_ai_client_tokens_total", "Tokens used", ["provider", "model", "token_type"]
        )
        self.cost = counter("llm_cost_dollars_total", "USD spent", ["provider"])
        self.savings = counter(
            "parallax_cost_savings_dollars_total",
            "USD that self-hosted calls would have cost more on the reference API model",
        )
        self.overflow = counter(
            "parallax_api_overflow_cost_dollars_total",
            "USD spent on APIs because the cluster could not take the call",
        )
        self.unpriced = counter(
            "llm_unpriced_requests_total", "Calls whose cost is unknown", ["provider"]
        )
        self.ledger_dropped = counter(
            "llm_ledger_dropped_total", "Calls lost because the ledger's buffer was full"
        )
        self.ledger_pending = Gauge(
            "llm_ledger_pending", "Calls not yet written to the ledger", registry=registry
        )
        self._children: dict[tuple[str, str], Series] = {}

    def series(self, provider: str, model: str, *, self_hosted: bool) -> Series:
        """The label children of one provider and model; resolved once."""
        key = (provider, model)
        found = self._children.get(key)
        if found is None:
            found = Series(self, provider, model, self_hosted=self_hosted)
            self._children[key] = found
        return found


class Series:
    """Label children of one provider and model: recording a call looks nothing up."""

    def __init__(
        self, metrics: GatewayMetrics, provider: str, model: str, *, self_hosted: bool
    ) -> None:
        self._metrics = metrics
        self._provider = provider
        self._model = model
        self._self_hosted = self_hosted
        self._statuses: dict[str, Counter] = {}
        self._duration = metrics.duration.labels(provider, model)
        self._first_chunk = metrics.first_chunk.labels(provider, model)
        self._prompt = metrics.tokens.labels(provider, model, "input")
        self._completion = metrics.tokens.labels(provider, model, "output")
        self._cost = metrics.cost.labels(provider)
        self._unpriced = metrics.unpriced.labels(provider)
        self._latency = (
            metrics.parallax_latency.labels(model)
            if self_hosted
            else metrics.api_latency.labels(provider)
        )
        self._succeeded = metrics.parallax_requests.labels("success", model)

    def succeeded(self, seconds: float, first_chunk: float | None) -> None:
        self._status("success").inc()
        self._duration.observe(seconds)
        self._latency.observe(seconds)
        if first_chunk is not None:
            self._first_chunk.observe(first_chunk)
        if self._self_hosted:
            self._succeeded.inc()

    def failed(self, code: str) -> None:
        self._status(code).inc()
        if self._self_hosted:
            self._metrics.parallax_requests.labels("error", self._model).inc()
            self._metrics.parallax_errors.labels(code).inc()

    def cancelled(self) -> None:
        self._status("cancelled").inc()
        if self._self_hosted:
            self._metrics.parallax_requests.labels("cancelled", self._model).inc()

    def used(self, usage: TokenUsage, cost: Decimal | None) -> None:
        self._prompt.inc(usage.prompt_tokens)
        self._completion.inc(usage.completion_tokens)
        if cost is None:
            self._unpriced.inc()
        else:
            self._cost.inc(float(cost))

    def uncounted(self) -> None:
        """The provider told no usage: what it cost is unknown."""
        self._unpriced.inc()

    def _status(self, status: str) -> Counter:
        child = self._statuses.get(status)
        if child is None:
            child = self._metrics.requests.labels(self._provider, status)
            self._statuses[status] = child
        return child


def _makers(registry: CollectorRegistry) -> tuple[Callable[..., Counter], Callable[..., Histogram]]:
    def counter(name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=registry)

    def histogram(name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(name, text, labels, buckets=LATENCY, registry=registry)

    return counter, histogram
