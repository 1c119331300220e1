"""What the suite needs of each runtime beside the port: specs that behave, and a look behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import httpx2

from agentcore.training.openenv.ports import EnvironmentRuntime
from agentcore.training.openenv.specs import DeployedEnvironment, EnvironmentSpec, Resources

WAIT_SECONDS = 60.0
SMALL = Resources(cpu="100m", memory="64Mi", cpu_limit="1", memory_limit="256Mi")


class Harness(Protocol):
    """``reachable``: whether a deployment's URL can be asked from here.

    ``most_replicas`` is what the runtime's documentation says of one deployment.
    """

    reachable: bool
    most_replicas: int

    def runtime(self, *, wait_seconds: float = WAIT_SECONDS) -> EnvironmentRuntime:
        """A runtime as a new process would open it."""

    def spec(self, name: str, behaviour: str = "serve", version: str = "1.0.0") -> EnvironmentSpec:
        """``behaviour`` as in tests.fakes.environment_program."""

    async def replicas(self, name: str) -> Sequence[str]:
        """Who serves now, by an identity that a restart changes."""

    async def kill(self, replica: str) -> None:
        """End one of them from outside."""

    async def leftovers(self) -> Sequence[str]:
        """Whatever the runtime made and still exists."""


async def deploy(
    harness: Harness,
    name: str,
    behaviour: str = "serve",
    *,
    version: str = "1.0.0",
    replicas: int = 1,
    wait_seconds: float = WAIT_SECONDS,
) -> DeployedEnvironment:
    runtime = harness.runtime(wait_seconds=wait_seconds)
    spec = harness.spec(name, behaviour, version)
    return await runtime.deploy(spec, replicas=replicas, resources=SMALL)


async def ask(deployed: DeployedEnvironment, path: str = "/health") -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{deployed.url}{path}", headers={"connection": "close"})
        assert answer.status_code == 200
        return answer.text
