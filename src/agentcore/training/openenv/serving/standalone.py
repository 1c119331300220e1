"""An environment's server with nothing around it: its own door, its own stop."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.datastructures import Headers
from starlette.responses import Response

from agentcore.kit.access import Access, Rule, deny
from agentcore.kit.drain import Drain, DrainGate
from agentcore.kit.errors import (
    AgentCoreError,
    MethodNotAllowed,
    StartupError,
    Unauthenticated,
    problem,
)
from agentcore.kit.jsonvalue import dumps
from agentcore.kit.loopback import LoopbackGate
from agentcore.kit.security import Authenticator, OpenDoor, Principal, presented_credential
from agentcore.kit.supervisor import Supervisor
from agentcore.observability.exposition import exposition
from agentcore.training.openenv.models import EnvironmentServerConfig

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.types import ASGIApp, Receive, Scope, Send

PROBES = ("/health", "/ready")
METRICS = "/metrics"
# Probes carry no credentials.
RULES = (
    *(Rule(path, "") for path in PROBES),
    Rule(METRICS, "metrics"),
    Rule("/", "env:act", instead="env:control"),
)
# All orchestrators share the one token: the limits of a single caller do not fit them.
ORCHESTRATOR = frozenset({"env:act", "env:control", "admin"})
AGENT = frozenset({"env:act"})


@dataclass(frozen=True, slots=True)
class GivenTokens:
    """Accepts the tokens that the operator gave, and no others."""

    accepted: Sequence[tuple[str, Principal]]

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        presented = presented_credential(headers).encode()
        for token, principal in self.accepted:
            if secrets.compare_digest(token.encode(), presented):
                return principal
        raise Unauthenticated("the token is not the one of this server")


def given_tokens(config: EnvironmentServerConfig) -> GivenTokens | None:
    """The door for the configured tokens; None where there are none.

    Raises:
        StartupError: both are the same, and agents would be orchestrators.
    """
    token, agent_token = config.token.get_secret_value(), config.agent_token.get_secret_value()
    if token and token == agent_token:
        raise StartupError(
            "the token and the agent token are the same: agents could reset and close",
            hint="give agents a token of their own",
        )
    pairs = [(token, "orchestrator", ORCHESTRATOR), (agent_token, "agent", AGENT)]
    accepted = [
        (given, Principal(subject=subject, tenant="default", scopes=scopes))
        for given, subject, scopes in pairs
        if given
    ]
    return GivenTokens(accepted) if accepted else None


class Runnable(Protocol):
    """An ASGI app with work of its own behind the requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def run(self) -> None: ...


class MetricsBeside:
    """``app`` with /metrics beside all that it answers."""

    def __init__(self, app: Runnable, registry: CollectorRegistry) -> None:
        self._app = app
        self._registry = registry

    async def run(self) -> None:
        await self._app.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != METRICS:
            await self._app(scope, receive, send)
        elif scope["method"] in {"GET", "HEAD"}:
            accept = Headers(scope=scope).get("accept", "")
            await exposition(self._registry, accept)(scope, receive, send)
        else:
            error = MethodNotAllowed(f"{METRICS} does not answer {scope['method']}", hint="GET it")
            await refuse(scope, receive, send, error)


def standalone_app(
    app: Runnable,
    authenticator: Authenticator,
    drain: Drain,
    *,
    allowed_origins: Collection[str] = (),
) -> ASGIApp:
    """``app`` behind credentials, and its ``run`` in the lifespan.

    Where nobody is asked for credentials, pages of ``allowed_origins`` may come as well.
    """
    gate = DrainGate(app, drain=drain, refuse=refuse)
    door: ASGIApp = Access(gate, authenticator=lambda: authenticator, rules=RULES, refuse=refuse)
    if isinstance(authenticator, OpenDoor):
        origins = {"/": allowed_origins}
        door = LoopbackGate(door, refuse=refuse, probes=PROBES, origins=origins)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(app, receive, send)
        else:
            await door(scope, receive, send)

    return serve


async def _live(app: Runnable, receive: Receive, send: Send) -> None:
    await receive()
    async with Supervisor() as supervisor:
        supervisor.start("environment server", app.run)
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    headers = {"www-authenticate": "Bearer"} if error.http_status == 401 else {}
    if error.retry_after_header is not None:
        headers["retry-after"] = error.retry_after_header
    body = dumps(problem(error, instance=scope["path"]))
    response = Response(body, error.http_status, headers, media_type="application/problem+json")
    await deny(scope, receive, send, response, error.detail)
