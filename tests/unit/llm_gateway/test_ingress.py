from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import Unauthenticated
from agentcore.llm_gateway.errors import UpstreamRateLimited
from agentcore.llm_gateway.ingress import OpenAIDoor, OpenAIEndpoint, refuse
from agentcore.llm_gateway.models import CallRecord
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import ANN, Call
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import (
    Upstream,
    completion,
    event,
    events_of,
    fails,
    says,
    streams,
)
from tests.unit.llm_gateway.conftest import HELLO, Asking, Build, api_at


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
    (entry,) = listed.json["data"]
    openai = {"id": "m", "object": "model", "created": 0, "owned_by": "cheap"}
    anthropic = {"id": "m", "type": "model", "display_name": "m", "created_at": entry["created_at"]}
    assert entry == {**openai, **anthropic}
    assert listed.json["object"] == "list"
    pages = {"has_more": False, "first_id": "m", "last_id": "m"}
    assert pages.items() <= listed.json.items()
    assert (await asking(b"", method="GET", path="/v1/models/m").run()).json == entry


async def test_metrics_know_the_route_and_not_the_path(asking: Asking) -> None:
    call = await asking(b"", method="GET", path="/v1/models/Qwen/Qwen3-8B").run()
    assert call.scope["route"].path == "/v1/models/{model}"


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
    with pytest.raises(ZeroDivisionError):
        await Call(endpoint, json.dumps(HELLO).encode()).run()


async def test_refusals_of_the_application_have_the_same_shape() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await refuse("/v1/chat/completions", send, Unauthenticated("who?"))
    assert sent[0]["status"] == 401
    assert json.loads(sent[1]["body"])["error"]["code"] == "unauthenticated"
    await refuse("/v1/chat/completions", send, UpstreamRateLimited("later", retry_after=0.2))
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


async def test_many_at_once(build: Build, pool: ConnectionPool, upstream: Upstream) -> None:
    upstream.behaviour = says("all of us")
    clock = SystemClock()
    router = build(api_at(OpenAIProvider, upstream, pool, clock, models={"m": "theirs"}))
    endpoint = OpenAIEndpoint(lambda: router, clock=clock, max_body_bytes=10_000)
    bodies = [json.dumps({**HELLO, "stream": number % 2 == 0}) for number in range(40)]
    calls = [Call(endpoint, body.encode()) for body in bodies]
    await asyncio.gather(*(call.run() for call in calls))
    assert {call.status for call in calls} == {200}
    assert all(call.complete for call in calls)
    assert ANN.tenant == "acme"
