"""A self-hosted Parallax cluster behind the provider port (seed 000, section 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.models import (
    ASK,
    DEFAULT_TIMEOUTS,
    NOBODY,
    Condition,
    Dialect,
    Owner,
    Priority,
    Timeouts,
)
from agentcore.llm_gateway.parallax.binding import DeployedModel
from agentcore.llm_gateway.parallax.cluster_manager import PARALLAX, ParallaxClusterManager
from agentcore.llm_gateway.parallax.heads import HeadSignals
from agentcore.llm_gateway.parallax.model_switch import Switched
from agentcore.llm_gateway.parallax.models import USABLE, Capacity, ClusterStats
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.transport import ConnectionPool


class ParallaxProvider(BaseLLMProvider):
    """Never falls back to an API by itself: a private request would leave with it.

    ``head`` is a head node whose engine's metrics are shown, where one is configured.
    """

    def __init__(
        self,
        cluster_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination = PARALLAX,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        super().__init__(destination, clock)
        self.head: HeadSignals | None = None
        self.cluster_manager = ParallaxClusterManager(
            cluster_url,
            pool=pool,
            clock=clock,
            destination=destination,
            api_key=api_key,
            models=models,
            timeouts=timeouts,
            gate=gate,
        )

    async def send(self, cleared: Cleared) -> Reply:
        return await self.cluster_manager.send(cleared)

    @property
    def dialects(self) -> frozenset[Dialect]:
        return self.cluster_manager.dialects

    async def get_available_models(self) -> list[str]:
        return await self.cluster_manager.list_models()

    async def get_capacity(self) -> Capacity:
        return await self.cluster_manager.get_capacity()

    async def preload_model(self, model_name: str) -> Switched:
        """Replaces the cluster's model; see the cluster manager."""
        return await self.cluster_manager.preload_model(model_name)

    async def deploy_model(
        self, model_name: str, prompt: str, config: Mapping[str, object]
    ) -> DeployedModel:
        """A served name for the loaded model with a prompt; see the cluster manager."""
        return await self.cluster_manager.deploy_model(model_name, prompt, config)

    async def get_cluster_stats(self) -> ClusterStats:
        return await self.cluster_manager.get_stats()

    def upstream_model(self, served: str) -> str | None:
        return self.cluster_manager.upstream_model(served)

    def served_models(self) -> tuple[str, ...] | None:
        return self.cluster_manager.served_models()

    @property
    def gate(self) -> Gate:
        return self.cluster_manager.gate

    def condition(self, priority: Priority = "medium", owner: Owner = NOBODY) -> Condition:
        manager = self.cluster_manager
        # Never heard is worth a try: a call that fails to connect falls over at once.
        available = manager.health in USABLE
        wait = manager.gate.forecast(priority, owner)
        free = wait == 0.0
        return Condition(
            available=available,
            has_capacity=free,
            load=manager.gate.load,
            why="" if available and free else manager.trouble,
            wait=wait,
            retry_after=0.0 if free else manager.gate.wait(priority, owner),
            outstanding=manager.gate.outstanding,
        )

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cluster_manager.watch())
            if self.head is not None:
                group.create_task(self.head.watch())
