"""The registry put together: agents, how they are found, and what sees to them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.directory import TenantDirectory
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.naming import AgentNames
from agentcore.a2a_protocol.ports import LifecycleListener
from agentcore.a2a_protocol.registry.health import HealthChecks
from agentcore.a2a_protocol.registry.reading import CardReader
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.registry.telling import Teller
from agentcore.a2a_protocol.registry.upkeep import Upkeep
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistry:
    agents: AgentLifecycleManager
    directory: TenantDirectory
    upkeep: Upkeep
    health: HealthChecks

    def start(self, supervisor: Supervisor) -> None:
        """See to the agents in the background."""
        supervisor.start("a2a-agents", self.upkeep.watch)
        supervisor.start("a2a-agent-health", self.health.watch)


def build_registry(
    config: A2AConfig,
    database: Database,
    hosted: HostedAgents,
    listeners: Sequence[LifecycleListener],
    *,
    supervisor: Supervisor,
    clock: Clock,
    ids: Ids,
    metrics: RegistryMetrics,
) -> AgentRegistry:
    store = AgentStore(database, most_agents=config.max_agents)
    further = RegistryStore(database)
    reader = CardReader(anywhere=config.agents_anywhere, trusted=config.trusted)
    teller = Teller(store, further, listeners, supervisor=supervisor, clock=clock)
    agents = AgentLifecycleManager(
        store,
        teller,
        reader,
        hosted=hosted,
        metrics=metrics,
        supervisor=supervisor,
        clock=clock,
        names=AgentNames(ids, config.tenant_agent_ids),
    )
    return AgentRegistry(
        agents=agents,
        directory=TenantDirectory(store, further, hosted, reader, clock=clock, metrics=metrics),
        upkeep=Upkeep(
            further,
            teller,
            agents,
            drain_seconds=config.drain_seconds,
            clock=clock,
            metrics=metrics,
        ),
        health=HealthChecks(
            further,
            store,
            reader,
            seconds=config.agent_check_seconds,
            clock=clock,
            metrics=metrics,
        ),
    )
