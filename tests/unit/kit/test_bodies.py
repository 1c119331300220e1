from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from agentcore.kit.bodies import BodyLimit
from agentcore.kit.errors import AgentCoreError
from tests.fakes.asgi import client

MOST = 1000


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await JSONResponse({"code": error.code}, error.http_status)(scope, receive, send)


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await JSONResponse(len(body))(scope, receive, send)


LIMITED = BodyLimit(length, limits={"/data/small": 3, "/data": MOST}, refuse=refuse)


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 100):
        yield b"x" * min(100, size - start)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/data", MOST, 200),
        ("/data", MOST + 1, 413),
        ("/data/deep", MOST * 10, 413),
        ("/data/small", 3, 200),
        ("/data/small", 4, 413),
        ("/open", MOST * 10, 200),
        ("/data", 0, 200),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_only_bodies_within_the_limit_arrive(
    path: str, size: int, status: int, *, chunked: bool
) -> None:
    async with client(LIMITED) as http:
        answer = await http.post(path, content=in_pieces(size) if chunked else b"x" * size)
    assert answer.status_code == status
    assert answer.json() == (size if status == 200 else {"code": "request_too_large"})


async def test_a_request_without_a_body_is_not_waited_for() -> None:
    async with client(LIMITED) as http:
        assert (await http.get("/data")).json() == 0


async def test_who_leaves_inside_the_body_is_seen_leaving() -> None:
    parts: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]
    seen: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive()])

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": "http", "path": "/data", "headers": [(b"content-length", b"9")]}
    await BodyLimit(app, limits={"/data": MOST}, refuse=refuse)(scope, receive, send)
    assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]
