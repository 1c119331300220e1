"""An EnvironmentRegistry on the real database, with servers and secrets as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.training.openenv.deep_health import DeepHealth
from agentcore.training.openenv.models import EnvironmentInfo, RegistryConfig, RemoteEnvironment
from agentcore.training.openenv.operations.running import Operations
from agentcore.training.openenv.operations.store import OperationStore
from agentcore.training.openenv.ports import Probe
from agentcore.training.openenv.registration.errors import TokenReferenceInvalid
from agentcore.training.openenv.registration.fleet import Fleet
from agentcore.training.openenv.registration.health import HealthChecks
from agentcore.training.openenv.registration.hub import HuggingFaceHubClient
from agentcore.training.openenv.registration.store import DeploymentStore, EnvironmentStore
from agentcore.training.openenv.registry import EnvironmentRegistry, Installation, Sources
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.fakes.clock import ManualClock
from tests.fakes.environment_runtime import FakeCluster, FakeRuntime

INFO = EnvironmentInfo(name="any", observation_space={}, action_space={}, mode="simulation")
SECRETS = {"env:FAR_TOKEN": "far-secret", "env:TWO_LINES": "secret\nsecret"}


@dataclass
class ScriptedProbe:
    """Servers by url: what a check of each finds; unknown ones are away."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def __call__(self, url: str, *, token: str | None, seconds: float) -> DeepHealth:
        self.asked.append((url, token))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0)
        self.running -= 1
        away = {"status": "failed", "stage": "pages", "detail": "nobody answers"}
        found = {"stage": "step", "info": INFO, "seconds": 0.1, **self.found.get(url, away)}
        return DeepHealth(url=url, **found)


def secret_of(reference: str) -> str:
    try:
        return SECRETS[reference]
    except KeyError:
        raise TokenReferenceInvalid(f"{reference!r} is not set") from None


def spec(name: str = "far", **values: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {"name": name, "url": f"http://{name.replace('_', '-')}.example:8000/", **values}
    )


BUNDLED = EnvironmentSpec(
    name="task_routing",
    version="1.0.0",
    tags=("serve",),
    source="bundled",
    source_id="task_routing",
    revision="1.0.0",
)


@dataclass(kw_only=True)
class World:
    registry: EnvironmentRegistry
    store: EnvironmentStore
    operations: Operations
    cluster: FakeCluster
    probe: ScriptedProbe
    clock: ManualClock


def world(
    database: Database,
    clock: ManualClock,
    *,
    hub: str | dict[str, Any] = "http://127.0.0.1:9",
    configured: Mapping[str, RemoteEnvironment] | None = None,
    cluster: FakeCluster | None = None,
    probe: Probe | None = None,
    **config: Any,
) -> World:
    at = {"endpoint": hub} if isinstance(hub, str) else hub
    settings = RegistryConfig.model_validate({"hub": at, **config})
    ids, scripted, machines = Ids(clock), ScriptedProbe(), FakeCluster()
    machines = machines if cluster is None else cluster
    store = EnvironmentStore(database, ids)
    operations = Operations(OperationStore(database, "agentcore"), clock=clock, ids=ids)
    registry = EnvironmentRegistry(
        store=store,
        sources=Sources(
            hub=HuggingFaceHubClient(settings.hub, clock),
            checks=HealthChecks(settings, probe or scripted, secrets=secret_of, clock=clock),
            here=Installation(
                bundled={"task_routing": BUNDLED},
                configured=configured or {},
                own_token=lambda runtime: f"own-token-{runtime}",
            ),
        ),
        fleet=Fleet(
            DeploymentStore(database, "agentcore"),
            {name: FakeRuntime(machines, name) for name in ("kubernetes", "local")},
            default="kubernetes",
            clock=clock,
        ),
        operations=operations,
        clock=clock,
    )
    return World(
        registry=registry,
        store=store,
        operations=operations,
        cluster=machines,
        probe=scripted,
        clock=clock,
    )
