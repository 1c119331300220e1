from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from agentcore.a2a_protocol.door import A2ADoor
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError, InternalError
from tests.fakes.a2a import HeaderAuth, a2a, at
from tests.fakes.asgi import client

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALL = {"jsonrpc": "2.0", "id": 1, "method": "agent.discover", "params": {}}
BEHIND = PlainTextResponse("behind")


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await PlainTextResponse(error.code, error.http_status)(scope, receive, send)


@pytest.fixture
async def door(database: Database) -> AsyncIterator[ASGIApp]:
    async with a2a(database) as runtime:
        yield HeaderAuth(A2ADoor(BEHIND, runtime=lambda: runtime, refuse=refuse))


@pytest.fixture
async def http(door: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(door) as opened:
        yield opened


@pytest.mark.parametrize("path", ["/a2a", "/a2a/"])
async def test_calls_are_answered(path: str, http: httpx2.AsyncClient) -> None:
    answer = await http.post(path, json=CALL)
    assert at(answer.json(), "result", "agents", 0, "agent_id") == "scripted"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/a2a"), ("POST", "/a2ab"), ("POST", "/a2a/x"), ("POST", "/")]
)
async def test_everything_else_is_handed_on(
    method: str, path: str, http: httpx2.AsyncClient
) -> None:
    assert (await http.request(method, path)).text == "behind"


async def test_the_call_has_its_route_in_metrics(door: ASGIApp) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/a2a/",
        "headers": [(b"content-type", b"text/plain")],
        "query_string": b"",
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await door(scope, receive, send)
    assert scope["route"].path == "/a2a"
    assert sent[0]["status"] == 415


async def test_a_caller_that_leaves_inside_its_call_is_let_go(door: ASGIApp) -> None:
    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/a2a",
        "headers": headers,
        "query_string": b"",
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("somebody was answered")

    await door(scope, receive, send)


async def test_a_service_that_has_not_started_says_so() -> None:
    def nothing() -> A2ARuntime:
        raise InternalError("the service has not started")

    async with client(A2ADoor(BEHIND, runtime=nothing, refuse=refuse)) as http:
        answer = await http.post("/a2a", json=CALL)
    assert (answer.status_code, answer.text) == (500, "internal_error")
