"""Pages of other origins stay outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from websockets.asyncio.client import connect

from agentcore.kit.security import ANYBODY
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.serving.callers import caller_of, requested_session
from tests.fakes.openenv_servers import serving
from tests.fakes.sockets import answered

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
    assert await answered(opening) == (101 if welcome else 403)


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


@pytest.mark.parametrize(
    ("query", "named"),
    [(b"", ""), (b"session_id=", ""), (b"a=b&session_id=x%2Dy", "x-y"), (b"other_session=x", "")],
)
def test_the_session_is_read_from_the_query(query: bytes, named: str) -> None:
    assert requested_session({"query_string": query}) == named


def test_without_a_door_everybody_may_everything() -> None:
    assert caller_of({}) is ANYBODY
    assert ANYBODY.may("env:control")
