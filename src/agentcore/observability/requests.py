"""What every request gets: an id, its trace id, one log line and its metrics."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.outgoing import KEY, Outgoing
from agentcore.observability.logs import REQUEST, RequestIds

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# W3C Trace Context, level 1, section 3.2: version-traceid-parentid-flags, ids not all zero.
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
# Seconds: the bounds of the histogram.
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
QUIET = ("/health/", "/metrics")

log = structlog.get_logger()


class RequestMetrics(Collector):
    """Plain numbers, made into Prometheus' families when somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.busy = 0
        # Routes, methods and statuses are few; the second is of the route alone.
        self._known: dict[tuple[str, str, int], tuple[list[int], _Durations]] = {}
        self._routes: dict[str, _Durations] = {}
        registry.register(self)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status)
        found = self._known.get(key)
        if found is None:
            durations = self._routes.setdefault(route, _Durations())
            found = self._known[key] = ([0], durations)
        count, durations = found
        count[0] += 1
        durations.counts[bisect_left(DURATIONS, seconds)] += 1
        durations.sum += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "http_requests_total",
            "HTTP requests by route template, method and status",
            labels=["route", "method", "status"],
        )
        for (route, method, status), (count, _) in self._known.items():
            requests.add_metric([route, method, str(status)], count[0])
        duration = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time to the last byte of the response",
            labels=["route"],
        )
        for route, durations in self._routes.items():
            sums = zip((*map(str, DURATIONS), "+Inf"), accumulate(durations.counts), strict=True)
            duration.add_metric([route], list(sums), durations.sum)
        yield from (requests, duration)
        yield GaugeMetricFamily(
            "http_requests_in_flight", "Requests being answered", value=self.busy
        )


class _Durations:
    def __init__(self) -> None:
        self.counts = [0] * (len(DURATIONS) + 1)
        self.sum = 0.0


class RequestScope:
    """ASGI middleware; outermost, so that also refusals carry ids, logs and metrics.

    ``failed`` answers where the application raised before it had begun to; the error goes on to the
    server, which logs it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        failed: Callable[[Scope, Receive, Send], Awaitable[None]],
        metrics: RequestMetrics,
        clock: Clock,
        ids: Ids,
        write: Callable[..., None] = log.info,
    ) -> None:
        self._app = app
        self._failed = failed
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._identify(scope)
        root = scope.get("root_path", "")
        began = self._clock.monotonic()
        scope[KEY] = out = Outgoing(send, (b"x-request-id", request_id.encode()))
        self._metrics.busy += 1
        try:
            await self._app(scope, receive, out.send)
        except Exception:
            if not out.status:
                await self._failed(scope, receive, out.send)
            raise
        finally:
            self._metrics.busy -= 1
            # It refers to the server's side of the request, and that to the scope.
            del scope[KEY]
            self._record(scope, root, out.status or 499, self._clock.monotonic() - began)

    def _identify(self, scope: Scope) -> str:
        given = parent = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = REQUEST_ID.fullmatch(value)
            elif name == b"traceparent":
                parent = TRACEPARENT.fullmatch(value.strip())
        own = "" if given and parent else self._ids.hex()
        request_id = given.group().decode() if given else own
        trace_id = parent.group(1).decode() if parent else own
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["trace_id"] = trace_id
        state["traceparent"] = parent.group().decode() if parent else ""
        REQUEST.set(RequestIds(request_id, trace_id))
        return request_id

    def _record(self, scope: Scope, root: str, status: int, seconds: float) -> None:
        route = route_template(scope, root)
        self._metrics.answered(route, _method(scope), status, seconds)
        path, state = scope["path"], scope["state"]
        if not path.startswith(QUIET):
            self._write(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                seconds=round(seconds, 4),
                request_id=state["request_id"],
                trace_id=state["trace_id"],
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
