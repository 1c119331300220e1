from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.agents.learning import TenantTraces
from agentcore.kit.security import Principal

OUTCOME = TaskOutcome(
    agent_id="shouter",
    task_id="t",
    tenant="acme",
    execution_time=1.0,
    success=True,
    metadata={"caller": "ann"},
)


class Hosts:
    """Hosts "shouter"."""

    def __init__(self) -> None:
        self.registered: dict[str, Principal] = {}

    def known_as(self, agent_id: str, tenant: str) -> str:
        return f"{agent_id}.{tenant}" if agent_id == "shouter" else agent_id

    async def owner(self, agent_id: str) -> Owner | None:
        found = self.registered.get(agent_id)
        return None if found is None else Owner(tenant=found.tenant, subject=found.subject)

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        self.registered[agent_id] = principal


class Ear:
    def __init__(self) -> None:
        self.heard: list[TaskOutcome] = []

    async def task_finished(self, outcome: TaskOutcome) -> None:
        self.heard.append(outcome)


def registered(hosts: Hosts) -> Mapping[str, tuple[str, str]]:
    return {name: (each.tenant, each.subject) for name, each in hosts.registered.items()}


async def test_a_hosted_agent_is_known_before_its_first_trace() -> None:
    hosts, ear = Hosts(), Ear()
    await TenantTraces(ear, hosts).task_finished(OUTCOME)
    assert ear.heard == [replace(OUTCOME, agent_id="shouter.acme")]
    assert registered(hosts) == {"shouter.acme": ("acme", "ann")}
    await TenantTraces(ear, hosts).task_finished(replace(OUTCOME, metadata={"caller": "bob"}))
    assert registered(hosts) == {"shouter.acme": ("acme", "ann")}, "it stays whose it was"


async def test_agents_elsewhere_are_told_as_they_are() -> None:
    hosts, ear = Hosts(), Ear()
    elsewhere = replace(OUTCOME, agent_id="poet")
    await TenantTraces(ear, hosts).task_finished(elsewhere)
    assert (ear.heard, hosts.registered) == ([elsewhere], {})
