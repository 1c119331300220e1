from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentcore.kit.resilience import CircuitBreaker

BREAKER_STATES = {"closed": 0, "open": 1, "half_open": 2}
# A cached read takes some 100 microseconds, one from the database a few milliseconds.
READ_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
EVOLUTION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class ACEMetrics:
    """The twelve specified series of the context layer and two beside; build once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.evolution_requests = Counter(
            "ace_evolution_requests_total", "Total evolution requests", registry=registry
        )
        self.evolution_duration = Histogram(
            "ace_evolution_duration_seconds",
            "Evolution duration",
            buckets=EVOLUTION_BUCKETS,
            registry=registry,
        )
        self.deltas_generated = Counter(
            "ace_deltas_generated_total", "Deltas generated", registry=registry
        )
        self.deltas_applied = Counter(
            "ace_deltas_applied_total", "Generated deltas that were applied", registry=registry
        )
        self.llm_requests = Counter("ace_llm_requests_total", "LLM requests", registry=registry)
        self.llm_tokens = Counter(
            "ace_llm_tokens_used", "LLM tokens used", ["type"], registry=registry
        )
        # Both are there before the first call: what a series begins with is no increase of it.
        for kind in ("prompt", "completion"):
            self.llm_tokens.labels(type=kind)
        self.llm_cost = Counter("ace_llm_cost_usd", "LLM cost in USD", registry=registry)
        self.llm_errors = Counter(
            "ace_llm_errors_total", "LLM calls that failed or could not be read", registry=registry
        )
        self.breaker_state = Gauge(
            "ace_circuit_breaker_state",
            "Circuit breaker state: 0 closed, 1 open, 2 half-open",
            registry=registry,
        )
        self.cache_hits = Counter("ace_cache_hits_total", "Cache hits", registry=registry)
        self.cache_misses = Counter("ace_cache_misses_total", "Cache misses", registry=registry)
        self.playbook_retrieval = Histogram(
            "ace_playbook_retrieval_duration_seconds",
            "Playbook retrieval duration",
            buckets=READ_BUCKETS,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "ace_evolution_queue_depth", "Agents that wait here for evolution", registry=registry
        )
        self.monthly_budget = Gauge(
            "ace_monthly_budget_usd", "What evolution may spend in a month", registry=registry
        )

    def watch(self, breaker: CircuitBreaker) -> None:
        """Show the state of ``breaker`` as it is when Prometheus asks."""
        self.breaker_state.set_function(lambda: BREAKER_STATES[breaker.state])

    def watch_queue(self, length: Callable[[], int]) -> None:
        self.queue_depth.set_function(length)
