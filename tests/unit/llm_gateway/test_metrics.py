from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import TokenUsage

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


def test_an_unknown_cost_is_counted_and_not_zero(registry: CollectorRegistry) -> None:
    series = GatewayMetrics(registry).series("p", "m", self_hosted=False)
    series.used(TokenUsage(1, 2, 3), None)
    assert registry.get_sample_value("llm_unpriced_requests_total", {"provider": "p"}) == 1
    assert registry.get_sample_value("llm_cost_dollars_total", {"provider": "p"}) == 0
