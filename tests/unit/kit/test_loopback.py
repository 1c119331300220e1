"""A service that asks for no credentials, as pages in a browser of its machine meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from agentcore.kit.access import deny
from agentcore.kit.errors import AgentCoreError, Forbidden
from agentcore.kit.loopback import MOST_KNOWN_HOSTS, LoopbackGate, check_host, check_origin
from tests.fakes.asgi import Seen
from tests.fakes.openenv_servers import serving
from tests.fakes.sockets import answered

PAGE = "https://console.example"


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    response = JSONResponse({"code": error.code, "detail": error.detail}, error.http_status)
    await deny(scope, receive, send, response, error.detail)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await JSONResponse({})(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})


def gate(app: Any = answer) -> LoopbackGate:
    return LoopbackGate(
        app, refuse=refuse, probes=["/ready"], names=["box.example"], origins={"/envs/": [PAGE]}
    )


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with serving(gate()) as address:
        yield address


@pytest.fixture(scope="module")
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url) as client:
        yield client


def headers(host: str, origin: str | None) -> list[tuple[bytes, bytes]]:
    named = [(b"host", host.encode())] * bool(host)
    return named + ([] if origin is None else [(b"origin", origin.encode())])


@pytest.mark.parametrize(
    ("host", "origin", "looks", "sends"),
    [
        ("localhost:8000", None, True, True),
        ("LOCALHOST:8000", None, True, True),
        ("127.9.9.9:8000", "http://127.9.9.9:8000", True, True),
        ("[::1]:8000", "http://[::1]:8000", True, True),
        ("127.0.0.1:8000", "http://localhost:8000", True, True),
        ("127.0.0.1", "http://127.0.0.1", True, True),
        ("box.example", "https://box.example", True, True),
        ("", None, True, True),
        ("127.0.0.1:8000", "http://localhost:3000", True, False),
        ("127.0.0.1:8000", "https://evil.example", True, False),
        ("127.0.0.1:8000", "http://evil.example:8000", True, False),
        ("127.0.0.1:8000", "null", True, False),
        ("127.0.0.1:8000", "http://[", True, False),
        ("127.0.0.1:8000", "127.0.0.1:8000", True, False),
        ("127.0.0.1:8000", PAGE, True, False),
        ("evil.example:8000", None, False, False),
        ("evil.example:8000", "http://evil.example:8000", False, False),
        ("localhost.evil.example", None, False, False),
        ("127.0.0.1.evil.example", None, False, False),
        ("127.0.0.1:8000@evil.example", None, False, False),
        ("0.0.0.0:8000", None, False, False),
        ("box.example.evil.example", None, False, False),
        ("localhost:x", None, False, False),
        ("[", None, False, False),
    ],
)
async def test_who_looks_and_who_sends(
    host: str, origin: str | None, looks: bool, sends: bool, http: httpx2.AsyncClient
) -> None:
    given = headers(host, origin)
    for method, welcome in (("GET", looks), ("HEAD", looks), ("POST", sends), ("PUT", sends)):
        scope: dict[str, Any] = {"type": "http", "method": method, "path": "/internal/x"}
        assert passes({**scope, "headers": given}) is welcome
        asked = http.build_request(method, scope["path"])
        asked.headers = httpx2.Headers(given)
        # HTTP/1.1 requires a Host; clients of HTTP/1.0 send none.
        if host:
            assert (await http.send(asked)).status_code == (200 if welcome else 403), method
    assert passes({"type": "websocket", "path": "/x", "headers": given}) is sends


def passes(scope: dict[str, Any]) -> bool:
    try:
        check_host(scope, ["box.example"])
        check_origin(scope)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("path", "named", "welcome"),
    [
        ("/internal/x/ws", {}, True),
        ("/internal/x/ws", {"origin": "https://evil.example"}, False),
        ("/internal/x/ws", {"host": "evil.example", "origin": "http://evil.example"}, False),
        ("/internal/x/ws", {"origin": PAGE}, False),
        ("/envs/a/ws", {"origin": PAGE}, True),
        ("/envs/a/ws", {"origin": PAGE, "host": "evil.example"}, False),
        ("/envs-of-others/ws", {"origin": PAGE}, False),
    ],
)
async def test_sockets(path: str, named: dict[str, str], welcome: bool, url: str) -> None:
    # The library's own Host comes first unless it is told another address to connect to.
    own = url.removeprefix("http://")
    address = f"ws://{named.get('host', own)}{path}"
    host, port = own.split(":")
    more = {name: value for name, value in named.items() if name != "host"}
    opening = connect(address, proxy=None, additional_headers=more, host=host, port=int(port))
    assert await answered(opening) == (101 if welcome else 403)


async def test_a_host_that_was_good_once_does_not_let_in_what_comes_with_it() -> None:
    seen = Seen()
    door = gate(seen)
    good = headers("[::1]", None)
    scope: Scope = {"type": "http", "method": "POST", "path": "/a"}
    for named in (
        good,
        good,
        headers("[::1]", "http://evil.example"),
        good + headers("evil", None),
    ):
        await door({**scope, "headers": named}, _nothing, _nowhere)
    assert [each["headers"] for each in seen.scopes] == [good, good]


async def test_probes_come_under_any_name_and_open_nothing(http: httpx2.AsyncClient) -> None:
    for path, status in (("/ready", 200), ("/internal/x", 403), ("/internal/ready", 403)):
        answer = await http.get(path, headers={"host": "10.0.0.7:8000"})
        assert answer.status_code == status


async def test_more_hosts_than_it_remembers_come_in_as_well() -> None:
    seen = Seen()
    door = gate(seen)
    scope: Scope = {"type": "http", "method": "GET", "path": "/a"}
    for port in range(MOST_KNOWN_HOSTS + 1):
        await door({**scope, "headers": headers(f"localhost:{port}", None)}, _nothing, _nowhere)
    assert len(seen.scopes) == MOST_KNOWN_HOSTS + 1


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(_: Any) -> None:
    return
