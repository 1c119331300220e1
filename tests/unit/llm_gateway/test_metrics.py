from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agentcore.kit.resilience import CircuitBreaker
from agentcore.llm_gateway.metrics import LATENCY, GatewayMetrics
from agentcore.llm_gateway.models import TokenUsage
from tests.fakes.clock import ManualClock

SPECIFIED = (
    "parallax_requests_total",
    "parallax_cost_savings_dollars_total",
    "parallax_api_overflow_cost_dollars_total",
    "llm_requests_total",
)


def test_the_specified_series_exist(registry: CollectorRegistry) -> None:
    metrics = GatewayMetrics(registry)
    metrics.series("cluster", "m", self_hosted=True).succeeded(0.2, 0.1)
    metrics.series("api", "m", self_hosted=False).succeeded(0.2, None)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert set(SPECIFIED) <= names
    assert "parallax_request_latency_seconds_bucket" in names
    assert "api_request_latency_seconds_bucket" in names


def test_a_series_is_resolved_once(registry: CollectorRegistry) -> None:
    metrics = GatewayMetrics(registry)
    first = metrics.series("p", "m", self_hosted=False)
    assert metrics.series("p", "m", self_hosted=False) is first


def test_the_slowest_stall_has_a_bucket(registry: CollectorRegistry) -> None:
    series = GatewayMetrics(registry).series("cluster", "m", self_hosted=True)
    series.succeeded(97.0, None)
    name = "parallax_request_latency_seconds_bucket"
    assert registry.get_sample_value(name, {"model": "m", "le": "80.0"}) == 0
    assert registry.get_sample_value(name, {"model": "m", "le": "160.0"}) == 1


def test_self_hosted_series_add_up_by_model(registry: CollectorRegistry) -> None:
    metrics = GatewayMetrics(registry)
    for name in ("one", "two"):
        series = metrics.series(name, "m", self_hosted=True)
        series.succeeded(0.2, None)
        series.ended("parallax_timeout")
    value = registry.get_sample_value
    assert value("parallax_requests_total", {"status": "success", "model": "m"}) == 2
    assert value("parallax_requests_total", {"status": "error", "model": "m"}) == 2
    assert value("parallax_errors_total", {"error_type": "parallax_timeout"}) == 2
    assert value("parallax_request_latency_seconds_count", {"model": "m"}) == 2
    assert value("parallax_request_latency_seconds_sum", {"model": "m"}) == 0.4
    assert value("llm_requests_total", {"provider": "one", "status": "success"}) == 1


@given(st.lists(st.floats(0, 400)))
def test_buckets_are_cumulative_and_complete(values: list[float]) -> None:
    registry = CollectorRegistry()
    series = GatewayMetrics(registry).series("p", "m", self_hosted=False)
    for value in values:
        series.succeeded(value, None)
    name = "gen_ai_client_operation_duration_seconds"
    labels = {"provider": "p", "model": "m"}
    for bound in (*LATENCY, float("inf")):
        known = registry.get_sample_value(
            f"{name}_bucket", {**labels, "le": "+Inf" if bound == float("inf") else str(bound)}
        )
        assert known == sum(value <= bound for value in values)
    assert registry.get_sample_value(f"{name}_count", labels) == len(values)


def test_the_page_can_be_written_and_read(registry: CollectorRegistry) -> None:
    GatewayMetrics(registry).series("p", "m", self_hosted=True).succeeded(0.2, 0.1)
    page = generate_latest(registry).decode()
    families = {family.name for family in text_string_to_metric_families(page)}
    assert {"llm_requests", "parallax_request_latency_seconds"} <= families


def test_an_unknown_cost_is_counted_and_not_zero(registry: CollectorRegistry) -> None:
    series = GatewayMetrics(registry).series("p", "m", self_hosted=False)
    series.used(TokenUsage(1, 2, 3), None)
    assert registry.get_sample_value("llm_unpriced_requests_total", {"provider": "p"}) == 1
    assert registry.get_sample_value("llm_cost_dollars_total", {"provider": "p"}) == 0


def test_the_state_of_each_breaker_is_shown(
    registry: CollectorRegistry, clock: ManualClock
) -> None:
    breaker = CircuitBreaker("p", failure_threshold=1, recovery_seconds=5, clock=clock)
    GatewayMetrics(registry).breakers = {"p": breaker}

    def state() -> float | None:
        return registry.get_sample_value("llm_breaker_state", {"provider": "p"})

    assert state() == 0
    breaker.failed()
    assert state() == 1
    clock.advance(5)
    assert state() == 2
    breaker.succeeded()
    assert state() == 0
