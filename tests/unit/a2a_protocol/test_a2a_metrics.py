from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol.metrics import A2AMetrics


def test_the_names_that_dashboards_use(registry: CollectorRegistry) -> None:
    A2AMetrics(registry)
    assert {metric.name for metric in registry.collect()} == {
        "a2a_requests",
        "a2a_request_duration_seconds",
        "a2a_tasks",
        "a2a_active_tasks",
        "a2a_agents",
        "a2a_agent_moves",
        "a2a_agent_checks",
        "a2a_discovery_seconds",
    }
