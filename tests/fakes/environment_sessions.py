"""EnvironmentSessions on real mounted servers, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.observability.tracing import NO_TRACING, Tracer
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.metrics import UNWATCHED
from agentcore.training.openenv.models import (
    EnvironmentEntry,
    EnvironmentServerConfig,
    RemoteEnvironment,
    TrainingConfig,
)
from agentcore.training.openenv.ports import EnvironmentWatch, RegisteredEnvironments
from agentcore.training.openenv.sessions import EnvironmentSessions
from tests.fakes.clock import ManualClock
from tests.fakes.openenv_servers import envs_app, serving


class NothingRegistered:
    async def find(self, reference: str) -> RemoteEnvironment | None:
        return None

    async def entry(self, reference: str) -> EnvironmentEntry | None:
        return None

    async def entries(self) -> list[EnvironmentEntry]:
        return []


NOTHING = NothingRegistered()


def caller(subject: str = "ada", tenant: str = "acme", *scopes: str) -> Principal:
    allowed = scopes or ("env:act", "env:control")
    return Principal(subject=subject, tenant=tenant, scopes=frozenset(allowed))


@asynccontextmanager
async def mounted(max_sessions: int = 64) -> AsyncIterator[str]:
    """The bundled environments as the app mounts them; yields the address of ``/envs``."""
    config = EnvironmentServerConfig(max_sessions=max_sessions)
    app = envs_app(BUNDLED, config)
    async with serving(app) as url:
        yield f"{url}/envs"


@asynccontextmanager
async def sessions_at(
    base_url: str,
    clock: ManualClock,
    *,
    watch: Callable[[RemoteEnvironment], EnvironmentWatch] = lambda _: UNWATCHED,
    tracer: Tracer = NO_TRACING,
    registered: RegisteredEnvironments = NOTHING,
    **config: Any,
) -> AsyncIterator[EnvironmentSessions]:
    settings = TrainingConfig.model_validate({"connect_attempts": 1, **config})
    inventory = Inventory(
        settings,
        bundled=BUNDLED,
        registered=registered,
        base_url=lambda: base_url,
        token=lambda: "loopback",
        clock=clock,
    )
    sessions = EnvironmentSessions(
        settings, inventory, clock=clock, ids=Ids(), watch=watch, tracer=tracer
    )
    try:
        yield sessions
    finally:
        await sessions.aclose()
