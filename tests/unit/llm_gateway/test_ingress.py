from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import Unauthenticated
from agentcore.kit.security import Principal
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.errors import UpstreamRateLimited
from agentcore.llm_gateway.ingress import OpenAIDoor, OpenAIEndpoint, refuse
from agentcore.llm_gateway.models import CallRecord, Timeouts
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import ANN, Call
from tests.fakes.clock import ManualClock
from tests.fakes.llm_gate import unbounded
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import (
    PAUSE,
    Upstream,
    completion,
    delta,
    drops,
    event,
    events_of,
    fails,
    says,
    stalls,
    streams,
)
from tests.unit.llm_gateway.conftest import Build

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
Asking = Callable[..., Call]


@pytest.fixture
def remote(upstream: Upstream, pool: ConnectionPool) -> OpenAIProvider:
    return OpenAIProvider(
        upstream.v1,
        pool=pool,
        clock=SystemClock(),
        gate=unbounded(SystemClock()),
        destination=Destination("cheap"),
        models={"m": "theirs"},
        timeouts=Timeouts(connect=1, first_byte=0.2, idle=0.2, total=1),
    )


@pytest.fixture
def router(build: Build, remote: OpenAIProvider) -> HybridRouter:
    return build(remote)


@pytest.fixture
def asking(router: HybridRouter) -> Asking:
    endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=10_000)

    def ask(body: Any = None, **more: Any) -> Call:
        raw = body if isinstance(body, bytes) else json.dumps({**HELLO, **(body or {})}).encode()
        return Call(endpoint, raw, **more)

    return ask


async def test_a_plain_answer_is_the_providers_bytes(asking: Asking) -> None:
    call = await asking().run()
    assert call.status == 200
    assert call.json == completion("Hello there!")
    assert call.headers["content-length"] == str(len(call.body))
    assert call.headers["x-agentcore-provider"] == "cheap"
    assert call.headers["x-agentcore-reason"] == "exclusive_model"
    assert Decimal(call.headers["x-agentcore-cost-usd"]) == Decimal("0.000015")


async def test_an_answer_can_be_found_on_the_ledger(
    asking: Asking, lines: list[CallRecord]
) -> None:
    call = await asking().run()
    assert call.headers["x-agentcore-request-id"] == str(lines[0].id)
    assert (lines[0].tenant, lines[0].subject, lines[0].trace_id) == ("acme", "ann", "t" * 32)


async def test_a_stream_is_forwarded(asking: Asking) -> None:
    call = await asking({"stream": True}).run()
    assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert call.body == b"".join(events_of("Hello there!", usage=False))
    assert call.complete
    assert "x-agentcore-cost-usd" not in call.headers


async def test_parts_are_forwarded_as_they_arrive(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    call = asking({"stream": True})
    async with asyncio.TaskGroup() as group:
        running = group.create_task(call.run())
        await call.arrived.wait()
        assert call.body == delta("a")
        assert not call.complete
        call.leave()
        await running


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_caller_that_leaves_cancels_the_upstream_call(
    asking: Asking, upstream: Upstream, lines: list[CallRecord], stream: bool
) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls()) if stream else stalls()
    call = asking({"stream": stream})
    async with asyncio.TaskGroup() as group:
        group.create_task(call.run())
        async with asyncio.timeout(1):
            while upstream.in_flight == 0:
                await asyncio.sleep(0.005)
        call.leave()
    async with asyncio.timeout(0.1):
        while upstream.cut_off == 0:
            await asyncio.sleep(0.005)
    assert [line.status for line in lines] == ["cancelled"]


async def test_a_caller_that_stops_reading_loses_its_stream(
    router: HybridRouter, upstream: Upstream, lines: list[CallRecord]
) -> None:
    endpoint = OpenAIEndpoint(
        lambda: router, clock=SystemClock(), max_body_bytes=10_000, stalled_seconds=0.02
    )
    upstream.behaviour = streams(*[delta("a")] * 3, then=stalls())
    call = Call(endpoint, json.dumps({**HELLO, "stream": True}).encode())
    call.stop_reading()
    await call.run()
    assert call.sent == []
    assert [line.status for line in lines] == ["cancelled"]
    assert router.providers[0].gate.in_flight == 0


async def test_a_stream_that_pauses_is_not_one_that_nobody_reads(
    router: HybridRouter, upstream: Upstream
) -> None:
    endpoint = OpenAIEndpoint(
        lambda: router, clock=SystemClock(), max_body_bytes=10_000, stalled_seconds=0.01
    )
    upstream.behaviour = streams(delta("a"), PAUSE, PAUSE, delta(finish="stop"))
    call = await Call(endpoint, json.dumps({**HELLO, "stream": True}).encode()).run()
    assert call.complete


async def test_a_stream_that_fails_later_ends_with_an_error_and_without_done(
    asking: Asking, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviour = streams(delta("a"), then=drops())
    call = await asking({"stream": True}).run()
    assert call.status == 200
    assert call.complete
    *_, last = call.body.strip().split(b"\n\n")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_truncated"
    assert b"[DONE]" not in call.body
    assert lines[0].status == "upstream_truncated"


async def test_a_stream_that_falls_silent_does_not_hang(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    call = await asking({"stream": True}).run()
    assert b'"upstream_timeout"' in call.body


async def test_a_stream_that_fails_before_its_content_is_a_plain_error(
    asking: Asking, upstream: Upstream
) -> None:
    upstream.behaviour = streams(event({"error": {"message": "boom"}}))
    call = await asking({"stream": True}).run()
    assert call.status == 502
    assert call.json["error"]["code"] == "upstream_unavailable"
    assert call.headers["x-agentcore-provider"] == "cheap"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_chat_request"),
        (b"", 400, "invalid_chat_request"),
        ({"messages": []}, 400, "invalid_chat_request"),
        ({"model": "other"}, 404, "model_not_found"),
        (b"x" * 10_001, 413, "request_too_large"),
    ],
    ids=["half", "nothing", "no message", "no model", "too much"],
)
async def test_bad_requests(asking: Asking, body: Any, status: int, code: str) -> None:
    call = await asking(body).run()
    assert call.status == status
    assert call.json["error"]["code"] == code
    assert call.headers["content-type"] == "application/json"


async def test_a_body_in_parts(router: HybridRouter) -> None:
    endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=10_000)
    raw = json.dumps(HELLO).encode()
    assert (await Call(endpoint, raw[:10], raw[10:20], raw[20:]).run()).status == 200


async def test_a_body_that_breaks_off(router: HybridRouter) -> None:
    endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=10_000)
    call = Call(endpoint, b"{", b"")
    call.leave()
    assert (await call.run()).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/models/m", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/models/other", 404),
    ],
)
async def test_other_routes_and_methods(
    asking: Asking, method: str, path: str, status: int
) -> None:
    call = await asking(method=method, path=path).run()
    assert call.status == status
    assert set(call.json["error"]) == {"message", "type", "param", "code"}
    assert ("allow" in call.headers) == (status == 405)


async def test_models(asking: Asking) -> None:
    listed = await asking(b"", method="GET", path="/v1/models").run()
    entry = {"id": "m", "object": "model", "created": 0, "owned_by": "cheap"}
    assert listed.json == {"object": "list", "data": [entry]}
    assert (await asking(b"", method="GET", path="/v1/models/m").run()).json == entry


async def test_metrics_know_the_route_and_not_the_path(asking: Asking) -> None:
    call = await asking(b"", method="GET", path="/v1/models/Qwen/Qwen3-8B").run()
    assert call.scope["route"].path == "/v1/models/{model}"


@pytest.mark.parametrize("value", ["true", "1", "TRUE", "yes", "tru"])
async def test_a_private_header_is_a_yes_unless_it_is_a_plain_no(
    asking: Asking, upstream: Upstream, value: str
) -> None:
    call = await asking(x_agentcore_private=value).run()
    assert call.status == 403
    assert call.json["error"]["code"] == "privacy_violation"
    assert upstream.bodies == []


@pytest.mark.parametrize("value", ["false", "0", "no", " False "])
async def test_a_plain_no(asking: Asking, value: str) -> None:
    assert (await asking(x_agentcore_private=value).run()).status == 200


async def test_a_private_credential_and_a_private_mark(asking: Asking, upstream: Upstream) -> None:
    owner = Principal(subject="a", tenant="t", scopes=frozenset({"llm"}), private=True)
    assert (await asking(principal=owner, x_agentcore_private="false").run()).status == 403
    marked = {"metadata": {"agentcore_private": True}}
    assert (await asking(marked).run()).status == 403
    assert upstream.bodies == []


async def test_a_credential_needs_the_scope(asking: Asking) -> None:
    nobody = Principal(subject="a", tenant="t", scopes=frozenset({"a2a"}))
    assert (await asking(principal=nobody).run()).status == 403
    assert (await asking(principal=None).run()).status == 401


async def test_priority(build: Build, clock: ManualClock) -> None:
    cluster = FakeProvider("cluster", clock, self_hosted=True)
    endpoint = OpenAIEndpoint(lambda: build(cluster), clock=clock, max_body_bytes=10_000)
    raw = json.dumps(HELLO).encode()
    low = await Call(endpoint, raw, x_agentcore_priority="low").run()
    assert low.headers["x-agentcore-reason"] == "default"
    high = await Call(endpoint, raw, x_agentcore_priority="High").run()
    assert high.headers["x-agentcore-reason"] == "cost_optimization"
    odd = await Call(endpoint, raw, x_agentcore_priority="urgent").run()
    assert odd.status == 400
    assert "high, medium, low" in odd.json["error"]["message"]


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
async def test_a_timeout_is_a_number_of_seconds(asking: Asking, value: str) -> None:
    assert (await asking(x_agentcore_timeout=value).run()).status == 400


async def test_a_timeout_is_kept(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = stalls()
    call = await asking(x_agentcore_timeout="0.05").run()
    assert call.status == 504


@pytest.mark.parametrize(("told", "passed_on"), [("7", "7"), ("7.2", "8"), ("0", "1")])
async def test_a_rate_limit_says_when_to_return(
    asking: Asking, upstream: Upstream, told: str, passed_on: str
) -> None:
    upstream.behaviour = fails(429, retry_after=told)
    call = await asking().run()
    assert call.status == 429
    assert call.headers["retry-after"] == passed_on
    assert call.json["error"]["type"] == "rate_limit_error"


async def test_a_providers_complaint_is_passed_on(asking: Asking, upstream: Upstream) -> None:
    theirs = {"error": {"message": "n must be 1", "type": "invalid_request_error", "x": 1}}
    upstream.behaviour = fails(422, theirs)
    call = await asking().run()
    assert call.status == 422
    assert call.json == theirs


async def test_our_own_credential_is_not_the_callers_business(
    asking: Asking, upstream: Upstream
) -> None:
    upstream.behaviour = fails(401)
    call = await asking().run()
    assert call.status == 502
    assert call.json["error"]["code"] == "upstream_credential_refused"


async def test_a_fault_of_ours_is_not_hidden(build: Build, clock: ManualClock) -> None:
    broken = FakeProvider("cluster", clock, failures=[ZeroDivisionError()])
    endpoint = OpenAIEndpoint(lambda: build(broken), clock=clock, max_body_bytes=10_000)
    with pytest.raises(ExceptionGroup) as caught:
        await Call(endpoint, json.dumps(HELLO).encode()).run()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_refusals_of_the_application_have_the_same_shape() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await refuse(send, Unauthenticated("who?"))
    assert sent[0]["status"] == 401
    assert json.loads(sent[1]["body"])["error"]["code"] == "unauthenticated"
    await refuse(send, UpstreamRateLimited("later", retry_after=0.2))
    assert (b"retry-after", b"1") in sent[2]["headers"]


async def test_the_door_takes_what_is_its_own() -> None:
    def naming(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": name.encode()})

        return app

    door = OpenAIDoor(naming("framework"), endpoint=naming("gateway"))
    for path, name in (
        ("/v1/models", b"gateway"),
        ("/v1/", b"gateway"),
        ("/v1", b"framework"),
        ("/v11/models", b"framework"),
        ("/internal/v1/x", b"framework"),
    ):
        assert (await Call(door, path=path).run()).body == name


async def test_many_at_once(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = says("all of us")
    calls = [asking({"stream": number % 2 == 0}) for number in range(40)]
    await asyncio.gather(*(call.run() for call in calls))
    assert {call.status for call in calls} == {200}
    assert all(call.complete for call in calls)
    assert ANN.tenant == "acme"
