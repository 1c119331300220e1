from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class A2AMetrics:
    """``family`` is 1.0, 0.3, agentcore or none; ``code`` is ok or the JSON-RPC error number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "a2a_requests_total",
            "JSON-RPC calls by method family and outcome",
            ["family", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "a2a_request_duration_seconds",
            "Time to the answer, or to the first event of a stream",
            ["family"],
            registry=registry,
        )
        self.tasks = Counter(
            "a2a_tasks_total", "Tasks that ended, by state", ["state"], registry=registry
        )
        self.active = Gauge(
            "a2a_active_tasks", "Tasks that agents of this process work on", registry=registry
        )
