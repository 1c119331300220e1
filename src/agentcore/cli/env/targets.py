"""From what a user types to an environment that can be played: a URL, or a name served here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentcore.training.openenv.models import EnvironmentInfo
    from agentcore.training.openenv.playing import OpenSession

# The server is of this process: its limit must not be what a rollout runs into.
MOST_SESSIONS = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """``url`` is empty for an environment that this command serves itself."""

    name: str
    url: str
    info: EnvironmentInfo
    sessions: OpenSession


@asynccontextmanager
async def opened(reference: str, token: str, step_seconds: float) -> AsyncIterator[Target]:
    """The environment at a URL, or a bundled or own one behind a loopback server of its own.

    ``token`` may refer to where it is. None is taken from the service's own settings: the server
    is somebody else's.
    """
    if reference.startswith(("http://", "https://", "ws://", "wss://")):
        from agentcore.settings import secret_at

        yield await _described(reference, reference, secret_at(token), step_seconds)
        return
    from agentcore.cli.env.loopback import served_on_loopback
    from agentcore.training.openenv.environments.loading import load_environment
    from agentcore.training.openenv.models import EnvironmentServerConfig
    from agentcore.training.openenv.server import EnvironmentServer

    name, factory = load_environment(reference)
    app = EnvironmentServer(
        name, factory, config=EnvironmentServerConfig(max_sessions=MOST_SESSIONS)
    )
    async with served_on_loopback(app) as url:
        yield await _described(url, "", "", step_seconds)


async def _described(base: str, url: str, token: str, step_seconds: float) -> Target:
    from agentcore.training.openenv.client import OpenEnvClient
    from agentcore.training.openenv.playing import remote_sessions

    async with OpenEnvClient(base, timeout=step_seconds, token=token) as client:
        info = await client.connect()
    sessions = remote_sessions(base, token=token, step_seconds=step_seconds)
    return Target(info.name, url, info, sessions)
