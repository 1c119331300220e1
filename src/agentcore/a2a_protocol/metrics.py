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
        # Label children, looked up once: families and codes are few.
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def answered(self, family: str, code: str, seconds: float) -> None:
        found = self._children.get((family, code))
        if found is None:
            found = self.requests.labels(family, code), self.duration.labels(family)
            self._children[family, code] = found
        found[0].inc()
        found[1].observe(seconds)
