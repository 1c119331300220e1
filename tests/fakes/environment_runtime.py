"""A runtime without machines; its cluster is what several processes would share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count

from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    RuntimeUnavailable,
)
from agentcore.training.openenv.models import RuntimeName
from agentcore.training.openenv.runtimes.naming import check_name, check_replicas
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Resources,
    ResourceUsage,
    Status,
)
from tests.fakes.environment_program import REASON


@dataclass
class FakeDeployment:
    spec: EnvironmentSpec
    runtime: RuntimeName
    replicas: int
    resources: Resources
    status: Status = "pending"
    detail: str = ""
    running: list[str] = field(default_factory=list)

    def shown(self) -> DeployedEnvironment:
        return DeployedEnvironment(
            name=self.spec.name,
            url=f"http://{self.spec.name}.cluster:8000",
            replicas=self.replicas,
            status=self.status,
            ready=min(len(self.running), self.replicas),
            version=self.spec.version,
            runtime=self.runtime,
            detail=self.detail,
        )


@dataclass
class FakeCluster:
    """``away`` says why it cannot be reached; ``calls`` is what was asked of it."""

    deployments: dict[str, FakeDeployment] = field(default_factory=dict)
    away: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)
    # While it is clear, whatever is deployed takes its time.
    prompt: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.prompt.set()

    def kill(self, replica: str) -> None:
        """One replica dies; the cluster replaces it."""
        for deployment in self.deployments.values():
            if replica in deployment.running:
                deployment.running.remove(replica)
                self.fill(deployment)

    def fill(self, deployment: FakeDeployment) -> None:
        del deployment.running[deployment.replicas :]
        while len(deployment.running) < deployment.replicas:
            deployment.running.append(f"{deployment.spec.name}-{next(self.numbers)}")


class FakeRuntime:
    """A spec's first tag says how its program behaves: ``serve``, ``exit`` or ``hang``."""

    def __init__(
        self, cluster: FakeCluster, name: RuntimeName = "kubernetes", *, wait_seconds: float = 5.0
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._wait = wait_seconds

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        check_name(spec.name)
        check_replicas(replicas)
        self._reach("deploy", spec.name)
        old = self._cluster.deployments.get(spec.name)
        new = FakeDeployment(spec, self._name, replicas, resources)
        behaviour = spec.tags[0] if spec.tags else "serve"
        if old is None or not old.running:
            self._cluster.deployments[spec.name] = new
        if behaviour == "exit":
            new.status, new.detail = "failed", REASON
            raise DeploymentFailed(f"{spec.name} does not start: {REASON}")
        await self._serve(spec.name, behaviour)
        if old is not None and old.spec.version == spec.version:
            new.running = old.running
        new.status = "running"
        self._cluster.deployments[spec.name] = new
        self._cluster.fill(new)
        return new.shown()

    async def undeploy(self, name: str) -> None:
        check_name(name)
        self._reach("undeploy", name)
        if self._cluster.deployments.pop(name, None) is None:
            raise DeploymentNotFound(f"{name!r} is not deployed")

    async def list_deployed(self) -> list[DeployedEnvironment]:
        self._reach("list", "")
        living = sorted(self._cluster.deployments.items())
        return [each.shown() for _, each in living if each.runtime == self._name]

    async def usage(self, name: str) -> ResourceUsage | None:
        check_name(name)
        self._reach("usage", name)
        if name not in self._cluster.deployments:
            raise DeploymentNotFound(f"{name!r} is not deployed")
        return ResourceUsage(cpu_usage=0.25, memory_usage=64 * 1024 * 1024)

    async def _serve(self, name: str, behaviour: str) -> None:
        try:
            async with asyncio.timeout(self._wait):
                if behaviour == "hang":
                    await asyncio.Event().wait()
                await self._cluster.prompt.wait()
        except TimeoutError:
            raise DeploymentFailed(f"{name} does not serve within {self._wait:g} s") from None

    def _reach(self, what: str, name: str) -> None:
        self._cluster.calls.append((what, name))
        if self._cluster.away:
            raise RuntimeUnavailable(self._cluster.away, hint="check the credentials")
