"""Tests of health_monitor.py and metrics.py: what is known has a sample, what is not has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from agentcore.llm_gateway.capacity import Starts
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.parallax.health_monitor import ParallaxHealthMonitor
from agentcore.llm_gateway.parallax.metrics import HeadReading
from agentcore.llm_gateway.parallax.models import ClusterStats, NodeStats, status_of
from agentcore.llm_gateway.prices import PriceBook
from tests.fakes.llm_upstream import SERVING

STATS = ClusterStats(
    health="ready",
    status=status_of({"data": {**SERVING}}),
    in_flight=2,
    age_seconds=0.5,
    error="",
    cluster="cluster",
    limit=8,
)
HEAD = HeadReading(
    {"vllm:time_to_first_token_seconds": {"m": ((("0.1", 1.0), ("+Inf", 2.0)), 0.7)}},
    {"vllm:prompt_tokens": {"m": 7.0}},
)


@pytest.fixture
def monitor(registry: CollectorRegistry, prices: PriceBook) -> ParallaxHealthMonitor:
    return ParallaxHealthMonitor(
        registry,
        metrics=GatewayMetrics(registry),
        prices=lambda: prices,
        heads=lambda: {"cluster": HEAD},
    )


def read(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_a_cluster_as_metrics(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    await monitor.update_cluster_metrics(STATS)
    assert read(registry, "parallax_cluster_health", cluster="cluster", state="ready") == 1
    assert read(registry, "parallax_cluster_health", cluster="cluster", state="down") == 0
    assert read(registry, "parallax_signals_stale", cluster="cluster") == 0
    assert read(registry, "parallax_nodes", cluster="cluster", status="available") == 1
    assert read(registry, "parallax_cluster_utilization", node="cluster", resource="slots") == 0.25
    assert read(registry, "parallax_active_models", node="node-1") == 1


async def test_what_parallax_does_not_tell_has_no_sample(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    await monitor.update_cluster_metrics(STATS)
    for resource in ("gpu_memory", "cpu"):
        found = read(registry, "parallax_cluster_utilization", node="node-1", resource=resource)
        assert found is None
    assert read(registry, "parallax_start_tokens", cluster="cluster") is None
    await monitor.update_cluster_metrics(replace(STATS, age_seconds=None, limit=None))
    assert read(registry, "parallax_signals_stale", cluster="cluster") == 1
    share = read(registry, "parallax_cluster_utilization", node="cluster", resource="slots")
    assert share is None


async def test_what_is_told_has_one(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    told = NodeStats(node_id="mac", status="available", gpu_utilization=0.4, cpu_utilization=0.2)
    assert STATS.status is not None
    status = replace(STATS.status, nodes=(told,))
    starts = Starts(tokens=1, size=4, pause=0.0, confidence=0.5)
    await monitor.update_cluster_metrics(replace(STATS, status=status, starts=starts))
    shares = {("mac", "gpu_memory"): 0.4, ("mac", "cpu"): 0.2, ("cluster", "starts"): 0.75}
    for (node, resource), share in shares.items():
        found = read(registry, "parallax_cluster_utilization", node=node, resource=resource)
        assert found == share
    assert read(registry, "parallax_start_tokens", cluster="cluster") == 1


async def test_what_head_nodes_measured(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    name = "parallax_head_time_to_first_token_seconds"
    labels = {"cluster": "cluster", "model": "m"}
    assert read(registry, f"{name}_bucket", **labels, le="0.1") == 1
    assert read(registry, f"{name}_sum", **labels) == 0.7
    assert read(registry, "parallax_head_prompt_tokens_total", **labels) == 7


async def test_calls_past_the_router_are_counted_once(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    usage = TokenUsage(1000, 1000, 2000)
    await monitor.record_request(
        model="m", latency_seconds=97.0, success=True, provider="parallax", usage=usage
    )
    await monitor.record_request(model="m", latency_seconds=1.0, success=False, provider="parallax")
    assert read(registry, "parallax_requests_total", status="success", model="m") == 1
    assert read(registry, "parallax_requests_total", status="error", model="m") == 1
    assert read(registry, "parallax_errors_total", error_type="error") == 1
    slow = read(registry, "parallax_request_latency_seconds_bucket", model="m", le="80.0")
    assert slow == 0
    assert read(registry, "parallax_request_latency_seconds_bucket", model="m", le="160.0") == 1
    assert (read(registry, "parallax_cost_savings_dollars_total") or 0) > 0


async def test_without_tokens_nothing_was_saved_that_is_known(
    monitor: ParallaxHealthMonitor, registry: CollectorRegistry
) -> None:
    await monitor.record_request(model="m", latency_seconds=1.0, success=True, provider="parallax")
    assert read(registry, "parallax_cost_savings_dollars_total") == 0
