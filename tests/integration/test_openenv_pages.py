"""The pages about environments and the specification's examples, run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentcore.a2a_protocol.models.jsonrpc import JsonRpcRequest
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.adapters import A2AOpenEnvAdapter
from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.a2a_policies import A2AReferencePolicy
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples import guess_number
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import ScriptedServer, sent, serving

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


async def test_the_how_to_works_from_top_to_bottom() -> None:
    environment, serve, play, test = blocks("how-to/write-an-environment.md")
    assert environment == Path(guess_number.__file__).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "tutorial", "GuessNumber": guess_number.GuessNumber}
    for block in (serve, play, test):
        exec(block, names)
    async with serving(names["app"]) as url:
        assert await names["play"](url) == 1.0


async def test_the_how_to_of_playing_plays() -> None:
    (play,) = blocks("how-to/play-an-environment.md")
    names: dict[str, Any] = {}
    exec(play, names)
    async with serving(EnvironmentServer("guess_number", guess_number.GuessNumber)) as url:
        assert await names["play"](url) > 0.3


def test_the_reference_names_every_bundled_environment() -> None:
    page = (DOCS / "reference" / "environments.md").read_text(encoding="utf-8")
    assert [name for name in BUNDLED if f"| `{name}` |" not in page] == []


class Agent:
    """The ``agent`` of the example: whatever picks an action from an observation."""

    def __init__(self) -> None:
        self._policy = A2AReferencePolicy()

    def select_action(self, observation: Observation) -> Action:
        return self._policy.act(observation.state)


async def test_usage_000_openenv_client() -> None:
    agent, max_steps = Agent(), 100
    async with serving(EnvironmentServer("a2a_protocol_test", A2AProtocolTestEnv)) as url:
        client = OpenEnvClient(url)
        info = await client.connect()
        observation = await client.reset()
        total = 0.0
        for _step in range(max_steps):
            action = agent.select_action(observation)
            result = await client.step(action)
            observation = result.observation
            total += result.reward
            if result.terminated or result.truncated:
                break
        await client.close()
    assert info.name == "a2a_protocol_test"
    assert observation.state["pending_tasks"] == []
    assert total > 0


@pytest.mark.promise("000-usage-adapter")
async def test_usage_000_adapter() -> None:
    action_space: JsonObject = {"title": "RouteAction", "type": "object"}
    server = ScriptedServer(schema={"action": action_space, "observation": {}, "state": {}})
    async with server.running() as url, OpenEnvClient(url) as env_client:
        await env_client.reset()
        adapter = A2AOpenEnvAdapter(env_client)
        jsonrpc_request = JsonRpcRequest(
            method="task.execute", params={"task_id": "123", "action": "route_ticket"}, id="1"
        )
        action = await adapter.jsonrpc_to_action(jsonrpc_request)
        result = await env_client.step(action)
        jsonrpc_response = await adapter.result_to_jsonrpc(result, jsonrpc_request.id)
    assert action.type == "route_ticket"
    assert sent(server.received, "step")[0]["data"]["task_id"] == "123"
    assert jsonrpc_response.id == "1"
