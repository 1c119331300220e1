from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agentcore.training.openenv.specs import EnvironmentSpec
from tests.contracts.environment_runtimes.harness import WAIT_SECONDS
from tests.fakes.environment_runtime import FakeCluster, FakeRuntime


class FakeHarness:
    reachable = False
    most_replicas = 100

    def __init__(self) -> None:
        self.cluster = FakeCluster()

    def runtime(self, *, wait_seconds: float = WAIT_SECONDS) -> FakeRuntime:
        return FakeRuntime(self.cluster, wait_seconds=wait_seconds)

    def spec(self, name: str, behaviour: str = "serve", version: str = "1.0.0") -> EnvironmentSpec:
        return EnvironmentSpec(name=name, version=version, tags=(behaviour,))

    async def replicas(self, name: str) -> Sequence[str]:
        return list(self.cluster.deployments[name].running)

    async def kill(self, replica: str) -> None:
        self.cluster.kill(replica)

    async def leftovers(self) -> Sequence[str]:
        return list(self.cluster.deployments)


@asynccontextmanager
async def fake_harness() -> AsyncIterator[FakeHarness]:
    yield FakeHarness()
