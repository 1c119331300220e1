"""An OpenEnv server for one environment: an ASGI app, mounted or on its own.

The surface is OpenEnv's own (0.2.0 to 0.10.0), so its official client plays here. Added beside it:
``metadata.terminated`` and ``metadata.truncated``, the ``agentcore`` member of /metadata, /info,
/ready, /render and its frame, /mcp/standard, and scopes: ``env:act`` steps, looks and renders,
``env:control`` creates, resets and closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import (
    AgentCoreError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    problem,
)
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import OpenEnvError
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.ports import EnvironmentWatch
from agentcore.training.openenv.serving.bodies import JSON, json_body, json_response, raw_body
from agentcore.training.openenv.serving.callers import OriginGate, caller_of, requested_session
from agentcore.training.openenv.serving.dialect import McpDialect
from agentcore.training.openenv.serving.hosting import (
    EnvironmentHost,
    StepRequest,
    checked,
    faults_of,
)
from agentcore.training.openenv.serving.pages import Pages
from agentcore.training.openenv.serving.slots import ACT, CONTROL, Slots
from agentcore.training.openenv.serving.sockets import frames_socket, rpc_socket
from agentcore.training.openenv.serving.standard_mcp import StandardMcp
from agentcore.training.openenv.serving.task_sets import TaskSets

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

DEFAULT_LIMITS = EnvironmentServerConfig()
IDS = Ids()


class EnvironmentServer:
    """The ASGI app of one environment's server.

    ``run`` reaps idle sessions and speaks standard MCP, and ends with its task; ``stop`` tells
    every session that the server goes.
    """

    def __init__(
        self,
        name: str,
        factory: EnvironmentFactory,
        config: EnvironmentServerConfig = DEFAULT_LIMITS,
        *,
        clock: Clock = SYSTEM_CLOCK,
        ids: Ids = IDS,
    ) -> None:
        self.name = name
        self.slots = Slots(name, factory, config, clock=clock, ids=ids)
        self._pages = Pages(self.slots)
        self._dialect = McpDialect(self.slots)
        self._standard = StandardMcp(self.slots, self._dialect, refuse)
        routed = self._routed()
        # The paths that it answers, as templates.
        self.paths = tuple(getattr(route, "path", "") for route in routed.routes)
        self._app = OriginGate(routed, config.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.slots.reap())
            tasks.create_task(self._standard.run())

    def watched_by(self, watch: EnvironmentWatch) -> None:
        """Tell ``watch`` of the sessions from now on."""
        self.slots.watch = watch

    async def stop(self) -> None:
        """Refuse new sessions and end the others, each behind the step that it is in."""
        await self.slots.stop("the server is stopping")

    def _routed(self) -> Starlette:
        slots, dialect = self.slots, self._dialect
        stateless = [
            Route("/state", self.state),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/step", self.step, methods=["POST"]),
        ]
        return Starlette(
            routes=[
                WebSocketRoute("/ws", frames_socket(slots, dialect)),
                Route("/health", self.health),
                Route("/ready", self.ready),
                *self._pages.routes(),
                Route("/render", self.render),
                *(stateless if slots.config.mode == "simulation" else ()),
                Route("/mcp", self.mcp, methods=["POST"]),
                WebSocketRoute("/mcp", rpc_socket(slots, dialect)),
                Route("/mcp/standard", self._standard),
                *TaskSets(slots).routes(),
            ],
            exception_handlers={AgentCoreError: _refused, HTTPException: _unrouted},
        )

    async def health(self, request: Request) -> Response:
        return json_response({"status": "healthy"})

    async def ready(self, request: Request) -> Response:
        """Unlike health: whether an environment can be made now."""
        host = await self.slots.make()
        await host.close()
        return json_response({"status": "ready", **self.slots.capacity.model_dump()})

    async def mcp(self, request: Request) -> Response:
        caller = caller_of(request.scope)
        answer = await self._dialect.answer_text(await raw_body(request), caller)
        return Response(answer, media_type=JSON)

    async def state(self, request: Request) -> Response:
        async with self._host(request) as host:
            return Response(await host.run(host.state, {}), media_type=JSON)

    async def reset(self, request: Request) -> Response:
        caller_of(request.scope).require(CONTROL)
        body = await json_body(request)
        async with self._host(request) as host:
            return Response(await host.run(host.reset, body), media_type=JSON)

    async def step(self, request: Request) -> Response:
        caller_of(request.scope).require(ACT)
        action = checked(StepRequest, await json_body(request)).action
        async with self._host(request) as host:
            if not requested_session(request.scope):
                await host.run(host.reset, {})
            return Response(await host.run(host.step, action), media_type=JSON)

    async def render(self, request: Request) -> Response:
        if not requested_session(request.scope):
            raise InvalidInput("no session is named", hint="GET /render?session_id=<id>")
        async with self._host(request) as host:
            image = await host.run(host.image, {})
        if image is None:
            raise NotFound(f"{self.name} has nothing to show", hint="it renders no images")
        return Response(image, media_type="image/png", headers={"cache-control": "no-store"})

    @asynccontextmanager
    async def _host(self, request: Request) -> AsyncIterator[EnvironmentHost]:
        """The session that is named or, as upstream has it, a fresh environment."""
        if session_id := requested_session(request.scope):
            yield self.slots.find(session_id, caller_of(request.scope)).host
            return
        host = await self.slots.make()
        try:
            yield host
        finally:
            await host.close()


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await refusal(error)(scope, receive, send)


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, AgentCoreError):
        raise error
    return refusal(error)


async def _unrouted(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path, or a known one's wrong method."""
    if not isinstance(error, HTTPException) or error.status_code not in {404, 405}:
        raise error
    path = request.url.path
    if error.status_code == 404:
        return refusal(NotFound(f"there is no {path}", hint="GET /openapi.json lists all routes"))
    taken = (error.headers or {}).get("Allow", "other methods")
    detail = f"{path} does not answer {request.method}"
    response = refusal(MethodNotAllowed(detail, hint=f"it answers {taken}"))
    response.headers["allow"] = taken
    return response


def refusal(error: AgentCoreError) -> Response:
    """422 as FastAPI words it, which OpenEnv's clients know; the rest as problem details."""
    faults = faults_of(error)
    if faults is not None:
        return json_response({"detail": [_in_body(entry) for entry in faults]}, status=422)
    # Seen from a client, an environment that fails is upstream; here it is this server itself.
    failed = isinstance(error, OpenEnvError) and error.http_status == 502
    status = 500 if failed else error.http_status
    body = {**problem(error), "status": status}
    headers = {}
    if error.retry_after_header is not None:
        headers["retry-after"] = error.retry_after_header
    return Response(dumps(body), status, headers, media_type="application/problem+json")


def _in_body(entry: JsonObject) -> JsonObject:
    loc = entry["loc"]
    return {**entry, "loc": ["body", *loc]} if isinstance(loc, list) else entry
