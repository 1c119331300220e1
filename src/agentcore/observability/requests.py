"""What every request gets: an id, its trace id, one log line and its metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# W3C Trace Context, level 1, section 3.2: version-traceid-parentid-flags, ids not all zero.
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
QUIET = ("/health/", "/metrics")

log = structlog.get_logger()


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "http_requests_total",
            "HTTP requests by route template, method and status",
            ["route", "method", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to the last byte of the response",
            ["route"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "http_requests_in_flight", "Requests being answered", registry=registry
        )
        # Counted here and shown when somebody asks: a request changes it twice.
        self.busy = 0
        self.in_flight.set_function(lambda: self.busy)
        # Label children, looked up once: routes, methods and statuses are few.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status)
        found = self._children.get(key)
        if found is None:
            found = self.requests.labels(route, method, str(status)), self.duration.labels(route)
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)


class RequestScope:
    """ASGI middleware; outermost, so that also refusals carry ids, logs and metrics."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        clock: Clock,
        ids: Ids,
        write: Callable[..., None] = log.info,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, trace_id = self._identify(scope)
        root = scope.get("root_path", "")
        began = self._clock.monotonic()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                message["headers"] = [*given, (b"x-request-id", request_id.encode())]
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace_id)
        self._metrics.busy += 1
        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.busy -= 1
            self._record(scope, root, status or 499, self._clock.monotonic() - began)

    def _identify(self, scope: Scope) -> tuple[str, str]:
        given = parent = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = REQUEST_ID.fullmatch(value)
            elif name == b"traceparent":
                parent = TRACEPARENT.fullmatch(value.strip())
        own = None if given and parent else self._ids.new()
        request_id = given.group().decode() if given else str(own)
        trace_id = parent.group(1).decode() if parent else own.hex if own else ""
        scope.setdefault("state", {}).update(
            request_id=request_id,
            trace_id=trace_id,
            traceparent=parent.group().decode() if parent else "",
        )
        return request_id, trace_id

    def _record(self, scope: Scope, root: str, status: int, seconds: float) -> None:
        route = route_template(scope, root)
        self._metrics.answered(route, _method(scope), status, seconds)
        if not scope["path"].startswith(QUIET):
            self._write(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(seconds, 4),
                request_id=scope["state"]["request_id"],
                trace_id=scope["state"]["trace_id"],
            )


def route_template(scope: Scope, root: str) -> str:
    """The matched route's pattern, never the path itself: a metric label must stay bounded.

    ``root`` is where the app itself is mounted; mounts within it belong to the pattern.
    """
    route = scope.get("route")
    path = getattr(route, "path", None)
    if not isinstance(path, str):
        return "unmatched"
    mount = str(scope.get("root_path", "")).removeprefix(root)
    # What a mount answers itself, as static files do, is labelled by the mount.
    return mount if mount and hasattr(route, "routes") else mount + path


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "other"
