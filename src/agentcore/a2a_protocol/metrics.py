from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus


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
        self.registry = RegistryMetrics(registry)
        # Label children, looked up once: families and codes are few.
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def answered(self, family: str, code: str, seconds: float) -> None:
        found = self._children.get((family, code))
        if found is None:
            found = self.requests.labels(family, code), self.duration.labels(family)
            self._children[family, code] = found
        found[0].inc()
        found[1].observe(seconds)


class RegistryMetrics:
    """``agents`` counts those of all processes, in each; ``outcome`` is ok or failed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.agents = Gauge(
            "a2a_agents",
            "Registered agents by state and health",
            ["status", "health"],
            registry=registry,
        )
        self.moves = Counter(
            "a2a_agent_moves_total", "Agents that came into a state", ["status"], registry=registry
        )
        self.checks = Counter(
            "a2a_agent_checks_total",
            "Looks at the cards of remote agents",
            ["outcome"],
            registry=registry,
        )
        self.discovery = Histogram(
            "a2a_discovery_seconds", "Time that finding agents took", registry=registry
        )

    def count(self, census: Mapping[tuple[AgentStatus, AgentHealth], int]) -> None:
        """What there is now; states that nobody is in any more are not shown."""
        self.agents.clear()
        for (status, health), number in census.items():
            self.agents.labels(status.value, health.value).set(number)
