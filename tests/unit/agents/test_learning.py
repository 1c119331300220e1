from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.agents.learning import TenantTraces
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.security import Principal
from tests.fakes.clock import ManualClock

OUTCOME = TaskOutcome(
    agent_id="shouter",
    task_id="t",
    tenant="acme",
    execution_time=1.0,
    success=True,
    metadata={"caller": "ann"},
)


class Hosts:
    """Hosts "shouter"; the first ``failing`` questions find no database."""

    def __init__(self, failing: int = 0) -> None:
        self.registered: dict[str, Principal] = {}
        self.failing = failing

    def known_as(self, agent_id: str, tenant: str) -> str:
        return f"{agent_id}.{tenant}" if agent_id == "shouter" else agent_id

    async def owner(self, agent_id: str) -> Owner | None:
        if self.failing:
            self.failing -= 1
            raise StorageUnavailable("the database is away")
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


@pytest.mark.parametrize("failing", [0, 2])
async def test_a_hosted_agent_is_known_before_its_first_trace(failing: int) -> None:
    hosts, ear = Hosts(failing), Ear()
    clock = ManualClock()
    telling = asyncio.ensure_future(TenantTraces(ear, hosts, clock=clock).task_finished(OUTCOME))
    while not telling.done():
        clock.advance(60)
        await asyncio.sleep(0)
    await telling
    assert ear.heard == [replace(OUTCOME, agent_id="shouter.acme")]
    assert registered(hosts) == {"shouter.acme": ("acme", "ann")}
    await TenantTraces(ear, hosts, clock=ManualClock()).task_finished(
        replace(OUTCOME, metadata={"caller": "bob"})
    )
    assert registered(hosts) == {"shouter.acme": ("acme", "ann")}, "it stays whose it was"


async def test_agents_elsewhere_are_told_as_they_are() -> None:
    hosts, ear = Hosts(), Ear()
    elsewhere = replace(OUTCOME, agent_id="poet")
    await TenantTraces(ear, hosts, clock=ManualClock()).task_finished(elsewhere)
    assert (ear.heard, hosts.registered) == ([elsewhere], {})
