"""An OpenEnv server for one environment: a Starlette app, mounted or on its own.

The surface is OpenEnv's own (0.2.0 to 0.10.0), so its official client plays here. Added beside it:
``metadata.terminated`` and ``metadata.truncated``, the ``agentcore`` member of /metadata, /info,
/ready, and the frame ``{"type": "render"}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from agentcore.kit.errors import AgentCoreError, MalformedRequest, RequestTooLarge, problem
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, dumps, loads
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import CapacityReached, FactoryFailed, OpenEnvError
from agentcore.training.openenv.hosting import (
    EnvironmentHost,
    InvalidRequest,
    StepRequest,
    checked,
    fault,
    faults_of,
)
from agentcore.training.openenv.models import Capacity, EnvironmentInfo, EnvironmentServerConfig
from agentcore.training.openenv.server_session import SessionSocket

if TYPE_CHECKING:
    from starlette.requests import Request

JSON = "application/json"
LARGEST_BODY = 16 * 1024 * 1024
DEFAULT_LIMITS = EnvironmentServerConfig()
IDS = Ids()

log = structlog.get_logger()


class EnvironmentServer:
    """Makes environments, one per session and one per HTTP request, and counts the sessions."""

    def __init__(
        self, name: str, factory: EnvironmentFactory, config: EnvironmentServerConfig, ids: Ids
    ) -> None:
        self.name = name
        self._factory = factory
        self._config = config
        self._ids = ids
        self._active = 0
        self._info: EnvironmentInfo | None = None

    @property
    def capacity(self) -> Capacity:
        return Capacity(active=self._active, maximum=self._config.max_sessions)

    def admit(self) -> EnvironmentHost:
        """Take a slot and make the environment that goes with it; ``release`` gives both back.

        Raises:
            CapacityReached: every slot is taken.
            FactoryFailed: the environment could not be made; no slot is taken.
        """
        most = self._config.max_sessions
        if self._active >= most:
            detail = f"{self.name} serves {self._active} of {most} sessions"
            raise CapacityReached(detail, self._active, most)
        host = self.make()
        self._active += 1
        return host

    async def release(self, host: EnvironmentHost) -> None:
        self._active -= 1
        await self.discard(host)

    async def discard(self, host: EnvironmentHost) -> None:
        try:
            await host.close()
        except OpenEnvError as error:
            log.warning("environment did not close", environment=self.name, error=str(error))

    def make(self) -> EnvironmentHost:
        try:
            environment = self._factory()
            environment.step_limit = self._config.max_episode_steps
            return EnvironmentHost(environment, self._ids)
        except Exception as exc:
            detail = f"{self.name} cannot be made: {type(exc).__name__}: {exc}"
            raise FactoryFailed(detail) from exc

    def info(self) -> EnvironmentInfo:
        if self._info is None:
            try:
                environment = self._factory()
                environment.step_limit = self._config.max_episode_steps
                described = environment.info()
            except Exception as exc:
                detail = f"{self.name} cannot be described: {type(exc).__name__}: {exc}"
                raise FactoryFailed(detail) from exc
            self._info = described.model_copy(update={"name": self.name, "mode": self._config.mode})
        return self._info.model_copy(update={"capacity": self.capacity})

    async def health(self, request: Request) -> Response:
        return _json({"status": "healthy"})

    async def ready(self, request: Request) -> Response:
        """Unlike health: whether an environment can be made now."""
        await self.discard(self.make())
        return _json({"status": "ready", **self.capacity.model_dump()})

    async def metadata(self, request: Request) -> Response:
        info = self.info()
        extras = info.model_dump(include={"max_episode_steps", "mode", "capacity", "features"})
        return _json(
            {
                "name": info.name,
                "description": info.description,
                "readme_content": None,
                "version": info.version,
                "author": None,
                "documentation_url": None,
                "agentcore": extras,
            }
        )

    async def schema(self, request: Request) -> Response:
        info = self.info()
        spaces: JsonObject = {
            "action": info.action_space,
            "observation": info.observation_space,
            "state": info.state_space,
            "reset_observation": info.observation_space,
        }
        return _json(spaces)

    async def describe(self, request: Request) -> Response:
        return _json(self.info().model_dump(mode="json"))

    async def state(self, request: Request) -> Response:
        """As upstream: the state of a fresh environment; a session's own comes by its socket."""
        host = self.make()
        try:
            return Response(await host.state(), media_type=JSON)
        finally:
            await self.discard(host)

    async def reset(self, request: Request) -> Response:
        body = await _body(request)
        host = self.make()
        try:
            return Response(await host.reset(body), media_type=JSON)
        finally:
            await self.discard(host)

    async def step(self, request: Request) -> Response:
        """As upstream: one action in a fresh environment; episodes are played over /ws."""
        action = checked(StepRequest, await _body(request)).action
        host = self.make()
        try:
            await host.reset({})
            return Response(await host.step(action), media_type=JSON)
        finally:
            await self.discard(host)


def environment_app(
    name: str,
    factory: EnvironmentFactory,
    *,
    config: EnvironmentServerConfig = DEFAULT_LIMITS,
    ids: Ids = IDS,
) -> Starlette:
    """The server of ``factory``'s environments; it has no start or stop of its own."""
    server = EnvironmentServer(name, factory, config, ids)
    stateless = [
        Route("/state", server.state),
        Route("/reset", server.reset, methods=["POST"]),
        Route("/step", server.step, methods=["POST"]),
    ]
    return Starlette(
        routes=[
            Route("/health", server.health),
            Route("/ready", server.ready),
            Route("/metadata", server.metadata),
            Route("/schema", server.schema),
            Route("/info", server.describe),
            *(stateless if config.mode == "simulation" else ()),
            WebSocketRoute("/ws", SessionSocket(server)),
        ],
        exception_handlers={AgentCoreError: _refuse},
    )


def environment_mounts(
    environments: Mapping[str, EnvironmentFactory], config: EnvironmentServerConfig
) -> list[Mount]:
    """One server per environment, each at ``/{name}``."""
    return [
        Mount(f"/{name}", environment_app(name, factory, config=config))
        for name, factory in environments.items()
    ]


async def _refuse(_: Request, error: Exception) -> Response:
    """422 as FastAPI words it, which OpenEnv's clients know; the rest as problem details."""
    if not isinstance(error, AgentCoreError):
        raise error
    faults = faults_of(error)
    if faults is not None:
        return _json({"detail": [_in_body(entry) for entry in faults]}, status=422)
    status = 500 if isinstance(error, OpenEnvError) else error.http_status
    body = {**problem(error), "status": status}
    return Response(dumps(body), status, media_type="application/problem+json")


def _in_body(entry: JsonObject) -> JsonObject:
    loc = entry["loc"]
    return {**entry, "loc": ["body", *loc]} if isinstance(loc, list) else entry


async def _body(request: Request) -> JsonObject:
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise RequestTooLarge(f"the body has more than {LARGEST_BODY} bytes")
    except ClientDisconnect as exc:
        raise MalformedRequest("the connection closed inside the request's body") from exc
    try:
        body = loads(bytes(data or b"{}"))
    except ValueError as exc:
        raise InvalidRequest(fault("json_invalid", f"JSON decode error: {exc}")) from exc
    if not isinstance(body, dict):
        raise InvalidRequest(fault("model_attributes_type", "Input should be an object"))
    return body


def _json(content: object, *, status: int = 200) -> Response:
    return Response(dumps(content), status, media_type=JSON)
