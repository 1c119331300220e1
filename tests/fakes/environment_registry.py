"""An EnvironmentRegistry on the real database, with servers and secrets as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.training.openenv.deep_health import DeepHealth
from agentcore.training.openenv.models import EnvironmentInfo, RemoteEnvironment
from agentcore.training.openenv.registration.errors import TokenReferenceInvalid
from agentcore.training.openenv.registration.health import HealthChecks
from agentcore.training.openenv.registration.hub import HuggingFaceHubClient
from agentcore.training.openenv.registration.store import EnvironmentStore
from agentcore.training.openenv.registry import EnvironmentRegistry, KnownElsewhere
from agentcore.training.openenv.registry_config import RegistryConfig
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.fakes.clock import ManualClock

INFO = EnvironmentInfo(name="any", observation_space={}, action_space={}, mode="simulation")
SECRETS = {"env:FAR_TOKEN": "far-secret"}


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


@dataclass(kw_only=True)
class World:
    registry: EnvironmentRegistry
    store: EnvironmentStore
    probe: ScriptedProbe
    clock: ManualClock


def world(
    database: Database,
    clock: ManualClock,
    *,
    hub: str | dict[str, Any] = "http://127.0.0.1:9",
    configured: Mapping[str, RemoteEnvironment] | None = None,
    **config: Any,
) -> World:
    at = {"endpoint": hub} if isinstance(hub, str) else hub
    settings = RegistryConfig.model_validate({"hub": at, **config})
    store, probe = EnvironmentStore(database), ScriptedProbe()
    registry = EnvironmentRegistry(
        store=store,
        hub=HuggingFaceHubClient(settings.hub, clock),
        checks=HealthChecks(settings, probe, secrets=secret_of, clock=clock),
        known=KnownElsewhere(bundled={"guess_number": spec()}, configured=configured or {}),
        clock=clock,
        ids=Ids(clock),
    )
    return World(registry=registry, store=store, probe=probe, clock=clock)
