"""The ASGI application: who is let in, which routes there are, and how errors look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fastapi_offline
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

from agentcore.a2a_protocol import api as a2a_api
from agentcore.a2a_protocol.door import A2ADoor
from agentcore.ace import api as context_api
from agentcore.ace.door import PlaybookDoor
from agentcore.ace.models import LARGEST_TRACE
from agentcore.bootstrap import Services, bootstrap, environment_servers
from agentcore.kit.access import Access, Rule, deny
from agentcore.kit.bodies import BodyLimit
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.drain import Drain, DrainGate
from agentcore.kit.errors import (
    AgentCoreError,
    InternalError,
    InvalidInput,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    StartupError,
    problem,
    rpc_error,
)
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.loopback import LoopbackGate
from agentcore.llm_gateway import api as gateway_api
from agentcore.llm_gateway.ingress import OpenAIDoor, OpenAIEndpoint
from agentcore.llm_gateway.ingress import refuse as refuse_call
from agentcore.llm_gateway.models import GatewayConfig
from agentcore.llm_gateway.openapi import openapi_paths
from agentcore.observability import api as operations
from agentcore.observability.logs import line_writer
from agentcore.observability.requests import RequestMetrics, RequestScope
from agentcore.settings import Settings
from agentcore.training import api as training_api
from agentcore.training.openenv import api as environment_api
from agentcore.training.openenv.administration import api as registry_api

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger()

RULES = (
    Rule("/health", ""),
    Rule("/.well-known", ""),
    Rule("/docs", ""),
    Rule("/openapi.json", ""),
    Rule("/metrics", "metrics"),
    Rule("/a2a", "a2a"),
    # The only thing to read there are the cards of agents.
    Rule("/a2a/agents", "a2a", reading=""),
    Rule("/v1", "llm"),
    Rule("/envs", "env:act", instead="env:control"),
    Rule("/internal", "admin"),
    Rule("/internal/context", "context:write", reading="context:read"),
    Rule("/internal/environments", "env:control", reading="env:act"),
    # To watch one is to act there; to close one the route asks for more.
    Rule("/internal/environments/sessions", "env:act"),
    Rule("/internal/training", "env:control"),
    Rule("/internal/agents", "a2a"),
    Rule("/internal/tasks", "a2a"),
    Rule("/internal/interactions", "a2a"),
    Rule("/internal/routing", "metrics"),
    Rule("/internal/costs", "metrics"),
    Rule("/console", "admin"),
)
PROBES = ("/health/live", "/health/ready")
METHODS, FULL = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), Match.FULL
# A playbook is the largest thing sent there, and it may have one MiB.
LARGEST_INTERNAL_BODY = 4 * 1024 * 1024
LARGEST_BODIES = {
    # An evolution reads a thousand traces at once.
    "/internal/context/traces": 2 * LARGEST_TRACE,
    "/internal/": LARGEST_INTERNAL_BODY,
}
CREDENTIALS = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
DESCRIPTION = """One service behind the whole life of a fleet of LLM agents.

Send `Authorization: Bearer <token>` or `x-api-key: <key>`; `agentcore token --help` makes one.
Errors are RFC 9457 problem details, OpenAI-shaped below `/v1`, JSON-RPC at `/a2a`.
"""


class Holder:
    """The services once the lifespan has built them; routes are declared before that."""

    def __init__(self, settings: Settings, reread: Callable[[], Settings] | None) -> None:
        self._services: Services | None = None
        self._reread = reread
        self._settings = settings
        self.error: StartupError | None = None
        self.servers = environment_servers(settings)
        self.drain = Drain([*self.servers.values()])

    @property
    def services(self) -> Services:
        if self._services is None:
            raise InternalError("the service has not started")
        return self._services

    def gateway_config(self) -> GatewayConfig:
        settings = self._settings if self._reread is None else self._reread()
        return settings.llm_gateway

    @property
    def started(self) -> bool:
        return self._services is not None

    @asynccontextmanager
    async def filled(self, settings: Settings, registry: CollectorRegistry) -> AsyncIterator[None]:
        try:
            async with bootstrap(settings, registry, self.servers) as self._services:
                self.drain.on_begin(self._services.environments.dismiss)
                yield
        except StartupError as error:
            self.error = error
            raise
        except Exception as error:
            log.exception("the service failed")
            self.error = StartupError(
                f"the service failed: {type(error).__name__}: {error}",
                hint="this is a fault of AgentCore itself; its log has the whole story",
            )
            raise
        finally:
            self._services = None


class AgentCore(FastAPI):
    """The application behind its own doors: only who passes them meets the framework's layers.

    Those cost a call of the gateway as much as the doors themselves.
    """

    doors: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        return self.doors(super().build_middleware_stack())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


def create_app(settings: Settings, reread: Callable[[], Settings] | None = None) -> FastAPI:
    """The application; its lifespan builds everything and takes it down again.

    ``reread`` says what the settings are now; without it they stay as they are.
    """
    holder, registry = Holder(settings, reread), CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with holder.filled(settings, registry):
            yield

    app = AgentCore(
        title="AgentCore",
        version=version("agentcore"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # RequestScope does this work; the framework's way asks for it at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.holder = holder
    _mount_operations(app, holder, registry)
    _mount_services(app, settings, holder)
    _mount_errors(app)
    app.doors = partial(_doors, settings=settings, holder=holder, registry=registry)
    return app


def _doors(
    framework: ASGIApp, *, settings: Settings, holder: Holder, registry: CollectorRegistry
) -> ASGIApp:
    """What a request passes before the framework: the one that is made last is the first."""
    entrance: ASGIApp = BodyLimit(framework, limits=LARGEST_BODIES, refuse=refuse)
    entrance = PlaybookDoor(entrance, contexts=lambda: holder.services.contexts, refuse=refuse)
    entrance = A2ADoor(
        entrance,
        runtime=lambda: holder.services.a2a,
        refuse=refuse,
        public_url=settings.server.public_url,
    )
    entrance = OpenAIDoor(
        entrance,
        endpoint=OpenAIEndpoint(
            lambda: holder.services.gateway.front,
            clock=SYSTEM_CLOCK,
            max_body_bytes=settings.llm_gateway.max_body_bytes,
        ),
    )
    entrance = DrainGate(entrance, drain=holder.drain, refuse=refuse)
    entrance = Access(
        entrance,
        authenticator=lambda: holder.services.authenticator,
        rules=RULES,
        refuse=refuse,
    )
    if not settings.security.auth:
        entrance = LoopbackGate(
            entrance,
            refuse=refuse,
            probes=PROBES,
            names=[urlsplit(settings.server.public_url).hostname or "localhost"],
            origins={"/envs/": settings.training.server.allowed_origins},
        )
    return RequestScope(
        entrance,
        failed=_fault,
        metrics=RequestMetrics(registry),
        clock=SYSTEM_CLOCK,
        ids=Ids(),
        write=line_writer(),
    )


def drain_of(app: FastAPI) -> Drain:
    holder: Holder = app.state.holder
    return holder.drain


def reload_of(app: FastAPI) -> Callable[[], None]:
    """What reads the settings again, in the background."""
    holder: Holder = app.state.holder

    def reload() -> None:
        services = holder.services
        services.ground.supervisor.spawn("reload", _reloaded(services, holder.gateway_config))

    return reload


async def _reloaded(services: Services, reread: Callable[[], GatewayConfig]) -> None:
    try:
        await services.gateway.fleet.reload(reread)
    except InvalidInput as error:
        log.error("the settings are wrong; nothing was changed", error=str(error))  # noqa: TRY400 - an operator's mistake


def startup_error_of(app: FastAPI) -> StartupError | None:
    """Why the application did not start, when it was for a reason that an operator can mend."""
    holder: Holder = app.state.holder
    return holder.error


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    """Answer with ``error`` in the form that the path's clients read."""
    if scope["type"] == "http" and scope["path"].startswith("/v1/"):
        await refuse_call(scope["path"], send, error)
        return
    await deny(scope, receive, send, error_response(scope["path"], error), error.detail)


def error_response(path: str, error: AgentCoreError) -> Response:
    headers = {}
    if error.retry_after_header is not None:
        headers["retry-after"] = error.retry_after_header
    if error.http_status == 401:
        headers["www-authenticate"] = 'Bearer realm="agentcore"'
    media_type, body = _render(path, error)
    return Response(dumps(body), error.http_status, headers, media_type=media_type)


def _render(path: str, error: AgentCoreError) -> tuple[str, JsonObject]:
    if path.rstrip("/") == "/a2a" or path.startswith("/a2a/"):
        return "application/json", {"jsonrpc": "2.0", "id": None, "error": rpc_error(error)}
    return "application/problem+json", problem(error, instance=path)


def _mount_operations(app: FastAPI, holder: Holder, registry: CollectorRegistry) -> None:
    def probes() -> Mapping[str, operations.Probe]:
        return holder.services.probes(holder.drain) if holder.started else {}

    app.include_router(operations.router(app.version, registry, probes))
    static = Path(fastapi_offline.__file__).with_name("static")
    app.mount("/docs/static", StaticFiles(directory=static), name="docs-static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="AgentCore API",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
        )


def _mount_services(app: FastAPI, settings: Settings, holder: Holder) -> None:
    clock = SYSTEM_CLOCK
    app.include_router(
        gateway_api.router(lambda: holder.services.gateway, clock, reread=holder.gateway_config)
    )
    app.include_router(
        context_api.router(
            lambda: holder.services.contexts,
            lambda: holder.services.experiments,
            lambda: holder.services.bindings,
            clock=lambda: clock,
            ids=Ids,
        )
    )
    app.include_router(
        a2a_api.router(lambda: holder.services.a2a, public_url=settings.server.public_url)
    )
    app.include_router(
        registry_api.router(
            lambda: holder.services.registry, operations=lambda: holder.services.operations
        )
    )
    app.include_router(environment_api.router(lambda: holder.services.environments))
    app.include_router(training_api.router(lambda: holder.services.training))
    for name, server in holder.servers.items():
        app.mount(f"/envs/{name}", server)
    _document(app)


def _document(app: FastAPI) -> None:
    """Add what FastAPI does not know: the gateway's plain ASGI routes, and who may call what."""
    known = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = known()
            document["paths"].update(openapi_paths())
            document.setdefault("components", {})["securitySchemes"] = CREDENTIALS
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    opened = any(
                        rule.needs(method.upper()) == "" and rule.covers(path) for rule in RULES
                    )
                    operation["security"] = [] if opened else [{name: []} for name in CREDENTIALS]
        return app.openapi_schema or known()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _mount_errors(app: FastAPI) -> None:
    for kind in (AgentCoreError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answered)


async def _fault(scope: Scope, receive: Receive, send: Send) -> None:
    """The server logs the traceback; the caller learns nothing of the inside."""
    error = InternalError("an internal error occurred")
    await error_response(scope["path"], error)(scope, receive, send)


async def _answered(request: Request, error: Exception) -> Response:
    match error:
        case AgentCoreError():
            return error_response(request.url.path, error)
        case RequestValidationError():
            return error_response(request.url.path, _validation(error))
        case HTTPException():
            response = error_response(request.url.path, _http_error(request, error))
            response.headers.update(error.headers or {})
            return response
        case _:
            # The server logs the traceback; the caller learns nothing of the inside.
            return error_response(request.url.path, InternalError("an internal error occurred"))


def _validation(error: RequestValidationError) -> AgentCoreError:
    faults = error.errors()
    if faults and faults[0]["type"] == "json_invalid":
        reason = faults[0].get("ctx", {}).get("error", "cannot be parsed")
        return MalformedRequest(f"the body is not JSON: {reason}", hint="send one JSON object")
    listed: list[JsonObject] = [
        {"field": ".".join(str(step) for step in fault["loc"][1:]), "message": fault["msg"]}
        for fault in faults
    ]
    first = listed[0] if listed else {"field": "", "message": "invalid"}
    return InvalidInput(
        f"{first['field'] or 'the request'}: {first['message']}",
        hint="GET /docs shows each request with an example",
        errors=list(listed),
    )


def _http_error(request: Request, error: HTTPException) -> AgentCoreError:
    path = request.url.path
    if error.status_code == 404:
        return NotFound(f"there is no {path}", hint="GET /docs lists all routes")
    if error.status_code == 405:
        taken = _methods(request)
        error.headers = {**(error.headers or {}), "Allow": taken}
        detail = f"{path} does not answer {request.method}"
        return MethodNotAllowed(detail, hint=f"it answers {taken}")
    return MalformedRequest(str(error.detail))


def _methods(request: Request) -> str:
    """All that the path answers: a refusal itself names those of its first route only."""
    routes = request.app.routes
    return ", ".join(
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is FULL for route in routes)
    )
