from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from agentcore.kit.ids import Ids
from agentcore.observability.requests import RequestMetrics, RequestScope
from tests.fakes.asgi import client
from tests.fakes.clock import ManualClock

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def fault(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"code": "internal"}, 500)(scope, receive, send)


@pytest.fixture
def app(registry: CollectorRegistry, clock: ManualClock, ids: Ids) -> RequestScope:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.scope["state"]))

    mounted = Starlette(routes=[Route("/step", show)])
    files = Mount("/static", StaticFiles(directory=Path(__file__).parent))
    inner = Starlette(routes=[Route("/things/{name}", show), Mount("/envs/a", mounted), files])
    metrics = RequestMetrics(registry)
    return RequestScope(inner, failed=fault, metrics=metrics, clock=clock, ids=ids)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("abc-1.2:3", True), ("", False), ("has space", False), ("x" * 200, False)],
)
async def test_a_sane_request_id_is_kept_and_another_replaced(
    app: RequestScope, sent: str, kept: bool
) -> None:
    async with client(app) as http:
        answer = await http.get("/things/a", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) is kept
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        ("nonsense", None),
    ],
)
async def test_the_trace_of_the_caller_goes_on(
    app: RequestScope, parent: str, trace: str | None
) -> None:
    async with client(app) as http:
        state = (await http.get("/things/a", headers={"traceparent": parent})).json()
    assert len(state["trace_id"]) == 32
    assert (state["trace_id"] == TRACE) is (trace is not None)
    assert state["traceparent"] == (parent if trace else "")


async def test_metrics_count_by_route_and_never_by_path(
    app: RequestScope, registry: CollectorRegistry
) -> None:
    async with client(app) as http:
        for path in ("/things/a", "/things/b", "/nothing/1", "/nothing/2"):
            await http.get(path)
        await http.request("BREW", "/things/a")
    values = {
        tuple(sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "http_requests_total"
    }
    assert values.pop(("unmatched", "GET", "404")) == 2
    assert sum(values.values()) == 3
    assert {labels[1] for labels in values} == {"GET", "other"}


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
async def test_mounted_routes_are_labelled_with_their_prefix(
    root: str, app: RequestScope, registry: CollectorRegistry
) -> None:
    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root, "path": root + scope["path"]}, receive, send)

    async with client(behind) as http:
        for path in ("/envs/a/step", f"/static/{Path(__file__).name}", "/envs/a/none"):
            await http.get(path)
    counted = {
        sample.labels["route"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "http_requests_total"
    }
    assert counted == {"/envs/a/step", "/static", "/envs/a"}


async def test_who_raises_before_the_answer_is_answered_for_and_told_on(
    registry: CollectorRegistry, clock: ManualClock, ids: Ids
) -> None:
    begins = False

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("inside")

    metrics = RequestMetrics(registry)
    lines: list[dict[str, object]] = []
    app = RequestScope(
        broken,
        failed=fault,
        metrics=metrics,
        clock=clock,
        ids=ids,
        write=lambda _, **members: lines.append(members),
    )
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    for status, begins in ((500, False), (200, True)):  # noqa: B007 - the application reads it
        sent.clear()
        with pytest.raises(LookupError):
            await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
        assert [each["status"] for each in sent if "status" in each] == [status]
        assert b"x-request-id" in dict(sent[0]["headers"])
        assert lines[-1]["status"] == status
    assert metrics.busy == 0
