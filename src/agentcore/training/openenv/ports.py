"""What the OpenEnv side needs of others: what runs environments, and who watches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agentcore.training.openenv.models import EnvironmentEntry, RemoteEnvironment
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Resources,
    ResourceUsage,
)

if TYPE_CHECKING:
    from agentcore.training.openenv.deep_health import DeepHealth


class EnvironmentRuntime(Protocol):
    """Runs environment servers: as processes, containers, or on Kubernetes."""

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        """Bring the deployment named ``spec.name`` to this state and wait until it serves.

        The same call again changes nothing. Of calls at once for one name the last to begin wins.
        A caller that gives up waiting (cancelled) leaves what it began running.

        Raises:
            DeploymentFailed: it does not serve in time; the reason is the runtime's own.
            InvalidDeployment: this runtime cannot run such a thing.
            RuntimeUnavailable: there is no runtime to be reached.
        """

    async def undeploy(self, name: str) -> None:
        """Remove it; raises ``DeploymentNotFound`` where there is none."""

    async def list_deployed(self) -> list[DeployedEnvironment]:
        """What runs now, by name."""

    async def usage(self, name: str) -> ResourceUsage | None:
        """None where the runtime cannot measure."""


class Probe(Protocol):
    """Finds out whether a server gives episodes; never raises for what the server does."""

    async def __call__(self, url: str, *, token: str | None, seconds: float) -> DeepHealth: ...


class RegisteredEnvironments(Protocol):
    """Environments that callers may open by name beside bundled and configured ones."""

    async def find(self, reference: str) -> RemoteEnvironment | None:
        """Where it is served; None where nothing has the name.

        Raises:
            AmbiguousEnvironment: the name means several.
            EnvironmentNotServed: it is registered, and must be deployed first.
        """

    async def entry(self, reference: str) -> EnvironmentEntry | None:
        """What is known of it; raises ``AmbiguousEnvironment``."""

    async def entries(self) -> list[EnvironmentEntry]:
        """All of them; bundled ones are those that are deployed."""


class SessionWatch(Protocol):
    """Told what happens in one session; its calls return at once and raise nothing."""

    def reset(self, seconds: float) -> None:
        """An episode began."""

    def stepped(self, seconds: float, reward: float, *, done: bool) -> None:
        """A step took place; ``done`` ends the episode."""

    def lost(self) -> None:
        """The session broke off inside an episode; ``closed`` follows all the same."""

    def closed(self) -> None:
        """Once, and the last of all calls."""


class EnvironmentWatch(Protocol):
    """Told of the sessions of one environment."""

    def opened(self) -> SessionWatch: ...

    def refused(self) -> None:
        """No session was free."""

    def left_running(self) -> Callable[[], None]:
        """A call was cut and computes on in its thread; the answer is called when it has ended."""
