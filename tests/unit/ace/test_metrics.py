from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from agentcore.ace.evolution_queue import EvolutionQueue
from agentcore.ace.metrics import ACEMetrics
from agentcore.kit.resilience import CircuitBreaker
from tests.fakes.clock import ManualClock

EXPOSED = {
    "ace_evolution_requests_total": "counter",
    "ace_evolution_duration_seconds": "histogram",
    "ace_deltas_generated_total": "counter",
    "ace_deltas_applied_total": "counter",
    "ace_llm_requests_total": "counter",
    "ace_llm_tokens_used_total": "counter",
    "ace_llm_cost_usd_total": "counter",
    "ace_llm_errors_total": "counter",
    "ace_circuit_breaker_state": "gauge",
    "ace_cache_hits_total": "counter",
    "ace_cache_misses_total": "counter",
    "ace_playbook_retrieval_duration_seconds": "histogram",
}
BESIDE = {"ace_evolution_queue_depth": "gauge", "ace_monthly_budget_usd": "gauge"}


def test_the_twelve_series_are_exposed_under_the_specified_names() -> None:
    registry = CollectorRegistry()
    ACEMetrics(registry)
    lines = generate_latest(registry).decode().splitlines()
    types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    types = {name: kind for name, kind in types.items() if not name.endswith("_created")}
    assert types == EXPOSED | BESIDE


def test_tokens_are_told_before_the_first_call() -> None:
    registry = CollectorRegistry()
    ACEMetrics(registry)
    for kind in ("prompt", "completion"):
        assert registry.get_sample_value("ace_llm_tokens_used_total", {"type": kind}) == 0


def test_the_gauge_follows_the_breaker() -> None:
    registry, clock = CollectorRegistry(), ManualClock()
    breaker = CircuitBreaker("x", failure_threshold=1, recovery_seconds=60, clock=clock)
    ACEMetrics(registry).watch(breaker)
    states = [registry.get_sample_value("ace_circuit_breaker_state")]
    breaker.failed()
    states.append(registry.get_sample_value("ace_circuit_breaker_state"))
    clock.advance(61)
    states.append(registry.get_sample_value("ace_circuit_breaker_state"))
    assert states == [0, 1, 2]


def test_the_depth_follows_the_queue() -> None:
    registry = CollectorRegistry()
    queue = EvolutionQueue(3, retry_after=1.0)
    ACEMetrics(registry).watch_queue(queue.__len__)
    queue.put("a")
    assert registry.get_sample_value("ace_evolution_queue_depth") == 1
