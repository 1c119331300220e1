"""Pages of other origins stay outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agentcore.kit.errors import Forbidden
from agentcore.kit.security import ANYBODY, Principal
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.serving.callers import (
    caller_of,
    check_host,
    check_origin,
    requested_session,
)
from tests.fakes.openenv_servers import serving

CONFIG = EnvironmentServerConfig(allowed_origins=("https://console.example",))


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with serving(EnvironmentServer("guess_number", GuessNumber, CONFIG)) as address:
        yield address


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("own", True),
        ("https://console.example", True),
        ("https://evil.example", False),
        ("https://console.example.evil.example", False),
        ("null", False),
        ("http://[", False),
        ("http://127.0.0.1:1", False),
    ],
)
async def test_sockets_are_opened_by_no_foreign_page(
    path: str, origin: str | None, welcome: bool, url: str
) -> None:
    headers = {} if origin is None else {"origin": url if origin == "own" else origin}
    opening = connect(url.replace("http", "ws") + path, proxy=None, additional_headers=headers)
    if welcome:
        async with opening as socket:
            assert socket.response is not None
        return
    with pytest.raises(InvalidStatus) as caught:
        await opening
    assert caught.value.response.status_code == 403


async def test_a_foreign_page_changes_nothing_and_may_look(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={"origin": "http://evil.example"}) as http:
        for path in ("/reset", "/step", "/mcp", "/mcp/standard"):
            assert (await http.post(path, json={})).status_code == 403
        assert (await http.get("/metadata")).status_code == 200


async def test_a_name_that_was_bound_anew_reaches_only_the_probes(url: str) -> None:
    bound_anew = {"host": "evil.example", "origin": "http://evil.example"}
    async with httpx2.AsyncClient(base_url=url, headers=bound_anew) as http:
        assert (await http.post("/reset", json={})).status_code == 403
        assert (await http.get("/state")).status_code == 403
        assert (await http.get("/health")).status_code == 200
        malformed = await http.post("/reset", json={}, headers={"host": "[", "origin": "http://["})
        assert malformed.status_code in {400, 403}


def request(host: str, origin: str = "", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode())] + [(b"origin", origin.encode())] * bool(origin)
    return {"path": "/ws", "headers": headers, "server": ("127.0.0.1", 8000), **more}


def lets_in(scope: dict[str, Any]) -> bool:
    try:
        check_host(scope)
        check_origin(scope)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "origin", "welcome"),
    [
        ("localhost:8000", "", True),
        ("127.9.9.9:8000", "http://127.9.9.9:8000", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("127.0.0.1:8000", "http://localhost:8000", True),
        ("127.0.0.1:8000", "http://localhost:3000", False),
        ("evil.example:8000", "", False),
        ("localhost.evil.example:8000", "", False),
        ("[", "", False),
        ("localhost:x", "", False),
    ],
)
def test_without_a_door_only_loopback_names_come_in(host: str, origin: str, welcome: bool) -> None:
    assert lets_in(request(host, origin)) is welcome
    # As behind `--no-auth`.
    assert lets_in(request(host, origin, state={"principal": ANYBODY})) is welcome


def test_behind_a_door_a_page_is_of_the_host_that_it_asks() -> None:
    # Equal to nobody in particular, and yet one with a credential.
    caller = Principal(subject="local", tenant="default", scopes=frozenset({"admin"}))
    behind: dict[str, Any] = {"state": {"principal": caller}}
    assert lets_in(request("env.example", "https://env.example", **behind))
    assert not lets_in(request("env.example", "http://localhost", **behind))
    assert not lets_in(request("env.example", "http://[", **behind))


@pytest.mark.parametrize(
    ("query", "named"),
    [(b"", ""), (b"session_id=", ""), (b"a=b&session_id=x%2Dy", "x-y"), (b"other_session=x", "")],
)
def test_the_session_is_read_from_the_query(query: bytes, named: str) -> None:
    assert requested_session({"query_string": query}) == named


def test_without_a_door_everybody_may_everything() -> None:
    assert caller_of({}) is ANYBODY
    assert ANYBODY.may("env:control")
