"""Environment sessions of this process, with what runs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.observability.tracing import Tracer
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import TrainingConfig
from agentcore.training.openenv.registration.usage import DeploymentUsage
from agentcore.training.openenv.sessions import EnvironmentSessions


@asynccontextmanager
async def open_sessions(
    config: TrainingConfig,
    inventory: Inventory,
    *,
    usage: DeploymentUsage,
    metrics: OpenEnvMetrics,
    supervisor: Supervisor,
    clock: Clock,
    ids: Ids,
    tracer: Tracer,
) -> AsyncIterator[EnvironmentSessions]:
    """On exit all are closed, which ``usage`` writes down: the database must be there still."""
    sessions = EnvironmentSessions(
        config,
        inventory,
        clock=clock,
        ids=ids,
        watch=lambda served: usage.watch(served, metrics.watch(served.name, "client")),
        tracer=tracer,
    )
    supervisor.start("environment sessions", sessions.reap)
    supervisor.start("environment usage", usage.run)
    try:
        yield sessions
    finally:
        await sessions.aclose()
        await usage.close()
