"""The exchanges that we claim to speak, as they were recorded from real servers."""

from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.client import (
    Action,
    EpisodeOver,
    OpenEnvClient,
    OpenEnvInvalidActionError,
    OpenEnvStepError,
)
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import Frame, ScriptedServer, sent, serving
from tests.wire.openenv.recordings import load, record


async def test_our_server_speaks_as_recorded() -> None:
    recorded = load("guess_number")
    frames = [exchange["send"] for exchange in recorded["exchanges"]]
    async with serving(EnvironmentServer("guess_number", BUNDLED["guess_number"])) as url:
        assert await record(url, frames) == recorded


def answers(recorded: dict[str, Any], kind: str) -> list[Any]:
    exchanges = recorded["exchanges"]
    return [each["receive"] for each in exchanges if each["send"]["type"] == kind]


async def test_our_client_understands_upstream_0_10_0() -> None:
    recorded = load("upstream_0_10_0")
    server = ScriptedServer(
        steps=answers(recorded, "step"),
        resets=answers(recorded, "reset"),
        states=answers(recorded, "state"),
        metadata=recorded["pages"]["/metadata"],
        schema=recorded["pages"]["/schema"],
    )
    asked: list[Frame] = [each["send"] for each in recorded["exchanges"]]
    async with server.running() as url, OpenEnvClient(url) as env:
        info = await env.connect()
        assert (info.name, info.version) == ("EchoEnvironment", "1.0.0")
        options: JsonObject = {"episode_id": "e-1", "greeting": "grüß", "unheard_of": 1}
        first = await env.reset(seed=7, options=options)
        assert (first.state, first.metadata) == ({"echo": "grüß"}, {"seed": 7})
        messages = [frame["data"].get("message") for frame in sent(asked, "step")]
        rewards = [(await env.step(say(message))).reward_raw for message in messages[:3]]
        assert rewards == [0.5, None, True]
        traced = Action(type="say", parameters={"message": "none"}, metadata={"trace_id": "t"})
        assert (await env.step(traced)).reward_raw is None
        with pytest.raises(OpenEnvStepError, match="asked to raise"):
            await env.step(say("raise"))
        assert (await env.state())["step_count"] == 4
        assert (await env.step(say("end"))).terminated
        with pytest.raises(EpisodeOver):
            await env.step(say("hello"))
    assert sent(server.received, "step") == sent(asked, "step")[:6]
    assert sent(server.received, "reset") == sent(asked, "reset")


async def test_upstreams_field_errors_are_kept() -> None:
    recorded = load("upstream_0_10_0")
    refused = answers(recorded, "step")[-1]
    async with ScriptedServer(steps=[refused]).running() as url, OpenEnvClient(url) as env:
        await env.reset()
        with pytest.raises(OpenEnvInvalidActionError) as caught:
            await env.step(say("x"))
    assert caught.value.errors[0]["loc"] == ["message"]
    assert caught.value.errors[0]["msg"] == "Field required"


def say(message: str) -> Action:
    return Action(type="say", parameters={"message": message})
