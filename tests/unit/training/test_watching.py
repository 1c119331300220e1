"""What a watch is told of environments that are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.errors import CapacityReached
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import Action, EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving
from tests.fakes.waiting import eventually

GUESS = Action(type="guess", parameters={"number": 42})


@dataclass
class Counted:
    url: str
    registry: CollectorRegistry
    server: EnvironmentServer

    def __getitem__(self, name: str) -> float:
        labels = {"environment": "guess_number", "side": "server"}
        return self.registry.get_sample_value(f"openenv_{name}", labels) or 0.0


class Threaded(GuessNumber):
    threaded = True


@pytest.fixture(params=[BUNDLED["guess_number"], Threaded], ids=["inline", "threaded"])
async def counted(
    request: pytest.FixtureRequest, registry: CollectorRegistry
) -> AsyncIterator[Counted]:
    config = EnvironmentServerConfig(max_sessions=1)
    server = EnvironmentServer("guess_number", request.param, config=config)
    server.watched_by(OpenEnvMetrics(registry, ["guess_number"]).watch("guess_number", "server"))
    async with serving(server) as url:
        yield Counted(url, registry, server)


async def test_an_episode_is_measured(counted: Counted) -> None:
    async with OpenEnvClient(counted.url) as env:
        assert counted["sessions"] == 1
        await env.reset(seed=7)
        await env.step(Action(type="guess", parameters={"number": 1}))
        await env.step(GUESS)
    await eventually(lambda: counted["sessions"] == 0)
    assert counted["reset_duration_seconds_count"] == 1
    assert counted["step_duration_seconds_count"] == 2
    assert counted["episode_reward_count"] == 1
    assert counted["episode_length_steps_sum"] == 2
    assert counted["lost_sessions_total"] == 0


async def test_who_leaves_inside_an_episode_is_lost(counted: Counted) -> None:
    url = f"ws{counted.url.removeprefix('http')}/ws"
    for frames, lost in (((), 0), (('{"type":"reset","data":{"seed":7}}',), 1)):
        async with connect(url) as socket:
            for frame in frames:
                await socket.send(frame)
                await socket.recv()
            await eventually(lambda: counted["sessions"] == 1)
            socket.transport.abort()
        await eventually(lambda: counted["sessions"] == 0)
        assert counted["lost_sessions_total"] == lost
        # The place of a session is free when its environment is closed, which a thread does.
        await eventually(lambda: counted.server.slots.capacity.active == 0)
    assert counted["episode_reward_count"] == 0


async def test_who_closes_is_not_lost(counted: Counted) -> None:
    async with OpenEnvClient(counted.url) as env:
        await env.reset(seed=7)
    await eventually(lambda: counted["sessions"] == 0)
    assert counted["lost_sessions_total"] == 0


async def test_refusals_are_counted(counted: Counted) -> None:
    async with OpenEnvClient(counted.url):
        with pytest.raises(CapacityReached):
            await OpenEnvClient(counted.url, max_retries=1).connect()
        assert counted["capacity_refusals_total"] == 1
        assert counted["sessions"] == 1


async def test_a_step_that_fails_is_no_step(counted: Counted) -> None:
    url = f"ws{counted.url.removeprefix('http')}/ws"
    async with connect(url) as socket, asyncio.timeout(20):
        await socket.send('{"type":"step","data":{"type":"guess","parameters":{"number":1}}}')
        assert b"environment_not_reset" in str(await socket.recv()).encode()
        await socket.send('{"type":"close"}')
        await socket.wait_closed()
    assert counted["step_duration_seconds_count"] == 0
