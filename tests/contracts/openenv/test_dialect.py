"""OpenEnv's MCP dialect with the quirks that upstream has (recorded in the facts of 0.10.0)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.contracts.openenv.suite import Subject, session
from tests.fakes.openenv_servers import behind_a_door, serving
from tests.fakes.waiting import eventually

Frame = dict[str, Any]
CALL = {"name": "guess", "arguments": {"number": 1}}


class NeverOne(GuessNumber):
    """Nobody can seed the dialect's episodes, and the guess of these tests must not end one."""

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        shown = super().begin(random, options)
        self._number = max(2, self._number)
        return shown


def rpc(method: str, params: Frame | None = None, **more: Any) -> Frame:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}


@pytest.fixture
def server() -> EnvironmentServer:
    config = EnvironmentServerConfig(max_sessions=2)
    return EnvironmentServer("guess_number", NeverOne, config)


@pytest.fixture
async def http(server: EnvironmentServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as client:
        yield client


async def ask(http: httpx2.AsyncClient, method: str, params: Frame | None = None) -> Frame:
    answer = await http.post("/mcp", json=rpc(method, params))
    assert answer.status_code == 200
    said: Frame = answer.json()
    assert (said["jsonrpc"], said["id"]) == ("2.0", 1)
    return said


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", -32700),
        (b"[]", -32700),
        (b"\xff", -32700),
        (b"{}", -32600),
        (b'{"jsonrpc":"2.0","method":"tools/list","extra":1}', -32600),
        (b'{"jsonrpc":"1.0","method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","method":"tools/list","params":[]}', -32600),
        (b'{"jsonrpc":"2.0","method":"initialize"}', -32601),
        (b'{"jsonrpc":"2.0","method":"tools/call"}', -32602),
        (b'{"jsonrpc":"2.0","method":"openenv/session/close"}', -32602),
        (b'{"jsonrpc":"2.0","method":"tools/list","params":{"session_id":"x"}}', -32602),
    ],
)
async def test_what_is_wrong_has_its_code(
    content: bytes, code: int, http: httpx2.AsyncClient
) -> None:
    answer = await http.post("/mcp", content=content)
    assert answer.status_code == 200
    said = answer.json()
    assert set(said) == {"jsonrpc", "id", "error"}
    assert set(said["error"]) == {"code", "message", "data"}
    assert said["error"]["code"] == code
    assert (await http.get("/mcp")).status_code == 405


async def test_notifications_are_answered(http: httpx2.AsyncClient) -> None:
    answer = (await http.post("/mcp", json={"jsonrpc": "2.0", "method": "tools/list"})).json()
    assert (answer["id"], answer["result"]["tools"][0]["name"]) == (None, "guess")


async def test_tools_are_the_actions(http: httpx2.AsyncClient) -> None:
    (tool,) = (await ask(http, "tools/list"))["result"]["tools"]
    assert set(tool) == {"name", "description", "input_schema"}
    assert tool["input_schema"]["properties"]["number"]["maximum"] == 100


async def test_a_call_without_a_session_plays_in_a_fresh_environment(
    http: httpx2.AsyncClient, server: EnvironmentServer
) -> None:
    for _ in range(2):
        result = (await ask(http, "tools/call", CALL))["result"]
        assert result["is_error"] is False
        assert json.loads(result["content"][0]["text"]) == result["structured_content"]
        assert result["structured_content"]["observation"]["hint"] in {"low", "high", "hit"}
    assert server.slots.capacity.active == 0


async def test_a_session_goes_on_from_call_to_call(
    http: httpx2.AsyncClient, server: EnvironmentServer
) -> None:
    made = (await ask(http, "openenv/session/create"))["result"]["session_id"]
    results = [await ask(http, "tools/call", {**CALL, "session_id": made}) for _ in range(10)]
    assert results[-1]["result"]["structured_content"]["done"] is True
    over = (await ask(http, "tools/call", {**CALL, "session_id": made}))["error"]
    assert (over["code"], over["data"]["code"]) == (-32603, "episode_over")
    wrong = {"name": "guess", "arguments": {"number": 101}, "session_id": made}
    assert (await ask(http, "tools/call", wrong))["error"]["code"] == -32603
    assert (await ask(http, "openenv/session/create"))["result"]["session_id"] != made
    full = (await ask(http, "openenv/session/create"))["error"]
    assert (full["code"], full["data"]) == (-32000, {"active_sessions": 2, "max_sessions": 2})


async def test_wrong_calls_name_the_fault(http: httpx2.AsyncClient) -> None:
    for arguments in ({"number": 101}, {"numbr": 1}):
        error = (await ask(http, "tools/call", {"name": "guess", "arguments": arguments}))["error"]
        assert (error["code"], error["data"]["code"]) == (-32602, "openenv_invalid_action")
        assert error["data"]["errors"][0]["loc"]
    for wrong in ({"name": "fly"}, {"name": 7}, {"name": "guess", "arguments": []}):
        assert (await ask(http, "tools/call", wrong))["error"]["code"] == -32602


async def test_frames_of_ws_speak_it_in_their_session(http: httpx2.AsyncClient) -> None:
    subject = Subject(str(http.base_url).rstrip("/"), 2, {}, lambda _: {}, {})
    async with session(subject) as one:
        await one.observe("reset", {"seed": 1})
        called = (await one.ask("mcp", rpc("tools/call", CALL)))["data"]
        assert called["result"]["structured_content"]["metadata"]["terminated"] is False
        assert (await one.ask("state"))["data"]["step_count"] == 1
        wrong = (await one.ask("mcp", {"method": "x"}))["data"]
        assert wrong["error"]["code"] == -32600
        own = (await one.ask("mcp", rpc("openenv/session/create")))["data"]["result"]["session_id"]
        close = rpc("openenv/session/close", {"session_id": own})
        assert (await one.ask("mcp", close))["data"]["error"]["code"] == -32600
        await one.refused("VALIDATION_ERROR", '{"type":"mcp"}')


async def test_tool_actions_are_understood_as_steps(http: httpx2.AsyncClient) -> None:
    subject = Subject(str(http.base_url).rstrip("/"), 2, {}, lambda _: {}, {})
    async with session(subject) as one:
        listed = await one.observe("step", {"type": "list_tools"})
        assert listed["observation"]["tools"][0]["name"] == "guess"
        assert (listed["reward"], listed["done"]) == (None, False)
        await one.observe("reset", {"seed": 1})
        call = {"type": "call_tool", "tool_name": "guess", "arguments": {"number": 1}}
        called = await one.observe("step", call)
        assert called["observation"]["tool_name"] == "guess"
        assert called["observation"]["result"]["hint"] == "low"
        assert called["reward"] == -0.1
        await one.refused("VALIDATION_ERROR", '{"type":"step","data":{"type":"call_tool"}}')


async def test_the_socket_mcp_has_a_session_of_its_own(
    http: httpx2.AsyncClient, server: EnvironmentServer
) -> None:
    address = str(http.base_url).rstrip("/").replace("http", "ws") + "/mcp"
    async with connect(address, proxy=None) as socket:

        async def say(text: str | bytes) -> Frame:
            await socket.send(text)
            answer: Frame = json.loads(await socket.recv())
            return answer

        assert (await say("{"))["error"]["code"] == -32700
        hints = [
            (await say(json.dumps(rpc("tools/call", CALL))))["result"]["structured_content"]
            for _ in range(2)
        ]
        assert hints[0]["observation"] == hints[1]["observation"]
        assert server.slots.capacity.active == 1
        assert (await say(b"{}"))["error"]["code"] == -32000
    await eventually(lambda: server.slots.capacity.active == 0)


async def test_an_agent_plays_in_the_session_that_it_is_given(server: EnvironmentServer) -> None:
    async with serving(behind_a_door(server)) as url:
        boss, player = (
            httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"})
            for token in ("boss", "player")
        )
        async with boss, player:
            made = (await ask(boss, "openenv/session/create"))["result"]["session_id"]
            call = {**CALL, "session_id": made}
            early = (await ask(player, "tools/call", call))["error"]
            assert early["data"]["code"] == "environment_not_reset"
            await boss.post(f"/reset?session_id={made}", json={"seed": 1})
            assert (await ask(player, "tools/call", call))["result"]["is_error"] is False
            closed = await ask(player, "openenv/session/close", {"session_id": made})
            assert closed["error"]["code"] == -32052
        address = url.replace("http", "ws") + "/mcp"
        headers = {"authorization": "Bearer player"}
        async with connect(address, proxy=None, additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["error"]["data"]["code"] == "forbidden"
