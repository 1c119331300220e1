from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agentcore.kit.clock import SystemClock
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.docker import DockerRuntime
from agentcore.training.openenv.runtimes.docker_engine import open_engine
from agentcore.training.openenv.runtimes.replica import is_healthy
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.contracts.environment_runtimes.harness import WAIT_SECONDS
from tests.fakes.docker_engine import DockerEngineFake, docker_engine

SECRET = "what-signs-the-tokens-of-callers-here"


class DockerHarness:
    reachable = True
    most_replicas = 1

    def __init__(self, engine: DockerEngineFake, socket: Path) -> None:
        self.engine = engine
        self.host = f"unix://{socket}"
        self.told: list[str] = []

    def runtime(self, *, wait_seconds: float = WAIT_SECONDS) -> DockerRuntime:
        config = DeploymentConfig(runtime="docker", wait_seconds=wait_seconds)
        return DockerRuntime(
            partial(open_engine, self.host),
            config,
            SECRET,
            clock=SystemClock(),
            progress=self.told.append,
        )

    def spec(self, name: str, behaviour: str = "serve", version: str = "1.0.0") -> EnvironmentSpec:
        image = f"registry.local/{behaviour}:{version}"
        return EnvironmentSpec(name=name, version=version, image=image)

    async def replicas(self, name: str) -> Sequence[str]:
        return [
            str(each.process.pid)
            for each in self.engine.containers.values()
            if each.body["Labels"]["agentcore.environment"] == name
            and each.process is not None
            and each.status == "running"
            and await is_healthy(each.port)
        ]

    async def kill(self, replica: str) -> None:
        os.kill(int(replica), signal.SIGKILL)

    async def leftovers(self) -> Sequence[str]:
        return list(self.engine.containers)


@asynccontextmanager
async def docker_harness() -> AsyncIterator[DockerHarness]:
    # Paths of sockets are limited to 107 bytes: not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="ac-") as folder:
        socket = Path(folder) / "docker.sock"
        async with docker_engine(socket) as engine:
            yield DockerHarness(engine, socket)
