"""Standard MCP, played by the official client in both of its protocol eras."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.clock import ManualClock
from tests.fakes.openenv_servers import behind_a_door, running, serving
from tests.fakes.waiting import eventually

if TYPE_CHECKING:
    from mcp.client.client import Client

CONFIG = EnvironmentServerConfig(max_sessions=3)
ERAS = ["legacy", "auto"]


@pytest.fixture
def server() -> EnvironmentServer:
    return EnvironmentServer("guess_number", BUNDLED["guess_number"], CONFIG)


@pytest.fixture
async def url(server: EnvironmentServer) -> AsyncIterator[str]:
    async with running(server, behind_a_door(server)) as address:
        yield address


@asynccontextmanager
async def client(url: str, token: str, mode: str, query: str = "") -> AsyncIterator[Client]:
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(
            streamable_http_client(f"{url}/mcp/standard{query}", http_client=http), mode=mode
        ) as one,
    ):
        yield one


async def call(one: Client, name: str, **arguments: Any) -> tuple[bool, dict[str, Any]]:
    result = await one.call_tool(name, arguments)
    content: dict[str, Any] = result.structured_content
    return result.is_error, content


@pytest.mark.parametrize("mode", ERAS)
async def test_the_official_client_plays_an_episode(
    mode: str, url: str, server: EnvironmentServer
) -> None:
    async with client(url, "boss", mode) as one:
        tools = {tool.name: tool for tool in (await one.list_tools()).tools}
        assert set(tools) == {"reset", "guess"}
        assert tools["guess"].input_schema["properties"]["number"]["minimum"] == 1
        failed, first = await call(one, "reset", seed=7)
        assert (failed, first["observation"]["hint"]) == (False, "start")
        for number, hint in ((50, "high"), (25, "low")):
            failed, step = await call(one, "guess", number=number)
            assert (failed, step["observation"]["hint"]) == (False, hint)
        failed, step = await call(one, "guess", number=42)
        assert (step["reward"], step["done"]) == (1.0, True)
        failed, over = await call(one, "guess", number=1)
        assert (failed, over["code"]) == (True, "episode_over")
        failed, wrong = await call(one, "reset", seed=-1)
        assert (failed, wrong["errors"][0]["loc"]) == (True, ["seed"])
        failed, unknown = await call(one, "fly")
        assert (failed, unknown["code"]) == (True, "invalid_input")
        assert server.slots.capacity.active == 1
    if mode == "legacy":
        await eventually(lambda: server.slots.capacity.active == 0)


async def test_clients_do_not_share_a_session(url: str, server: EnvironmentServer) -> None:
    async with client(url, "boss", "legacy") as one, client(url, "boss", "legacy") as two:
        await call(one, "reset", seed=7)
        # The first call of one who may reset begins an episode by itself.
        failed, _ = await call(two, "guess", number=1)
        assert not failed
        failed, step = await call(one, "guess", number=42)
        assert (failed, step["observation"]["hint"]) == (False, "hit")
        assert server.slots.capacity.active == 2


@pytest.mark.parametrize("mode", ERAS)
async def test_an_agent_plays_in_a_given_session_and_resets_nothing(mode: str, url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": "Bearer boss"}) as boss:
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        made = (await boss.post("/mcp", json=create)).json()["result"]["session_id"]
        await boss.post(f"/reset?session_id={made}", json={"seed": 7})
    async with client(url, "player", mode, f"?session_id={made}") as agent:
        assert [tool.name for tool in (await agent.list_tools()).tools] == ["guess"]
        failed, step = await call(agent, "guess", number=50)
        assert (failed, step["observation"]["hint"]) == (False, "high")
        failed, refused = await call(agent, "reset")
        assert (failed, refused["code"]) == (True, "forbidden")
        failed, step = await call(agent, "guess", number=42)
        assert (failed, step["done"]) == (False, True)
    async with client(url, "player", mode) as alone:
        failed, refused = await call(alone, "guess", number=50)
        assert (failed, refused["code"]) == (True, "forbidden")
    async with client(url, "stranger", mode, f"?session_id={made}") as stranger:
        failed, refused = await call(stranger, "guess", number=50)
        assert (failed, refused["code"]) == (True, "environment_session_not_found")


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}


def raw(token: str, session_id: str = "") -> dict[str, str]:
    own = {"mcp-session-id": session_id} if session_id else {}
    accepted = "application/json, text/event-stream"
    return {"authorization": f"Bearer {token}", "accept": accepted, **own}


async def begin(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.post("/mcp/standard", json=INITIALIZE, headers=raw(token))


async def test_nobody_uses_or_ends_the_transport_of_another(url: str) -> None:
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    async with httpx2.AsyncClient(base_url=url) as http:
        session_id = (await begin(http, "boss")).headers["mcp-session-id"]
        for other in ("stranger", "player", "second"):
            headers = raw(other, session_id)
            assert (await http.delete("/mcp/standard", headers=headers)).status_code == 404
            answer = await http.post("/mcp/standard", json=ping, headers=headers)
            assert answer.status_code == 404
        own = raw("boss", session_id)
        assert (await http.post("/mcp/standard", json=ping, headers=own)).status_code == 200
        assert (await http.delete("/mcp/standard", headers=own)).status_code == 200
        assert (await http.post("/mcp/standard", json=ping, headers=own)).status_code == 404


async def test_no_caller_takes_the_transports_of_the_others() -> None:
    config = EnvironmentServerConfig(max_sessions=4, max_sessions_per_caller=2)
    server = EnvironmentServer("guess_number", BUNDLED["guess_number"], config)
    async with (
        running(server, behind_a_door(server)) as url,
        httpx2.AsyncClient(base_url=url) as http,
    ):
        greedy = [await begin(http, "player") for _ in range(4)]
        assert [answer.status_code for answer in greedy] == [200, 200, 429, 429]
        assert greedy[2].json()["code"] == "capacity_reached"
        assert (await begin(http, "boss")).status_code == 200
        ended = raw("player", greedy[0].headers["mcp-session-id"])
        assert (await http.delete("/mcp/standard", headers=ended)).status_code == 200
        assert (await begin(http, "player")).status_code == 200


async def test_without_the_sdk_the_path_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.lowlevel", None)
    server = EnvironmentServer("guess_number", BUNDLED["guess_number"], CONFIG)
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post("/mcp/standard", json={})
        assert (answer.status_code, answer.json()["code"]) == (501, "standard_mcp_missing")
        assert "agentcore[mcp]" in answer.json()["hint"]


async def test_a_server_that_nobody_runs_says_so(server: EnvironmentServer) -> None:
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post("/mcp/standard", json={})
        assert (answer.status_code, answer.json()["code"]) == (503, "standard_mcp_stopped")


@pytest.mark.parametrize("mode", ERAS)
async def test_a_session_that_has_ended_is_not_replaced_in_silence(
    mode: str, clock: ManualClock
) -> None:
    server = EnvironmentServer("guess_number", GuessNumber, CONFIG, clock=clock)
    async with running(server, behind_a_door(server)) as url, client(url, "boss", mode) as one:
        await call(one, "reset", seed=7)
        clock.advance(CONFIG.session_idle_seconds + 1)
        await server.slots.sweep()
        for _ in range(2):
            failed, lost = await call(one, "guess", number=50)
            assert (failed, lost["code"]) == (True, "session_lost")
        assert server.slots.capacity.active == 0
        await call(one, "reset", seed=7)
        assert (await call(one, "guess", number=50))[0] is False


async def test_tools_that_a_client_calls_at_once_play_in_one_session() -> None:
    class Slow(GuessNumber):
        threaded = True

    server = EnvironmentServer("slow", Slow, CONFIG)
    async with running(server, behind_a_door(server)) as url, client(url, "boss", "legacy") as one:
        await asyncio.gather(*(call(one, "guess", number=number) for number in (1, 2, 3)))
        assert server.slots.capacity.active == 1
