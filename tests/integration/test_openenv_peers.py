"""Against the official `openenv` package, both ways: its server and our client, and the reverse."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from agentcore.training.openenv.client import (
    Action,
    CapacityReached,
    EpisodeOver,
    OpenEnvClient,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.conformance.models import Plan
from agentcore.training.openenv.conformance.suite import CHECKS, run_checks
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import environment_mounts
from tests.contracts.openenv.reports import found
from tests.fakes.openenv_servers import serving
from tests.peers import launch
from tests.wire.openenv.recordings import load, record

SESSIONS = 3


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[str]:
    assert launch.PYTHON.exists(), "there is no .venv-peers: run `python3 dev.py peers`"
    async with launch.upstream_openenv("--sessions", str(SESSIONS)) as url:
        yield url


def say(message: str) -> Action:
    return Action(type="say", parameters={"message": message}, metadata={"trace_id": "t"})


async def test_upstream_passes_the_suite_that_ours_pass(upstream: str) -> None:
    plan = Plan(url=upstream, sessions=SESSIONS)
    report = await run_checks(plan, CHECKS, lambda *_: None)
    assert found(report, "fail") == {}
    # Its scaffold takes anybody, and answers a step behind the end once more.
    assert set(found(report, "warn")) == {"auth", "done-once"}, found(report, "warn")
    not_offered = {"ready", "render", "terminated-truncated", "agent-scope"}
    assert set(found(report, "skipped")) == not_offered, found(report, "skipped")


async def test_upstream_still_speaks_as_recorded(upstream: str) -> None:
    recorded = load("upstream_0_10_0")
    frames = [exchange["send"] for exchange in recorded["exchanges"]]
    assert without_urls(await record(upstream, frames)) == without_urls(recorded)


def without_urls(value: Any) -> Any:
    """Upstream's field errors link to the pages of whatever pydantic is installed."""
    if isinstance(value, dict):
        return {name: without_urls(inner) for name, inner in value.items() if name != "url"}
    return [without_urls(inner) for inner in value] if isinstance(value, list) else value


async def test_our_client_plays_on_upstreams_server(upstream: str) -> None:
    async with OpenEnvClient(upstream) as env:
        info = await env.connect()
        assert info.name == "EchoEnvironment"
        assert info.capacity is None
        options = {"episode_id": "e-1", "greeting": "grüß"}
        first = await env.reset(seed=0, options=dict(options))
        assert (first.state, first.metadata) == ({"echo": "grüß"}, {"seed": 0})
        results = {message: await env.step(say(message)) for message in ("hello", "nan", "true")}
        assert [result.reward_raw for result in results.values()] == [0.5, None, True]
        assert [result.reward for result in results.values()] == [0.5, 0.0, 1.0]
        with pytest.raises(OpenEnvStepError, match="asked to raise"):
            await env.step(say("raise"))
        state = await env.state()
        assert (state["episode_id"], state["step_count"], state["seed"]) == ("e-1", 3, 0)
        last = await env.step(say("end"))
        assert (last.terminated, last.truncated) == (True, False)
        with pytest.raises(EpisodeOver):
            await env.step(say("hello"))


async def test_our_client_gives_up_a_slow_step(upstream: str) -> None:
    async with OpenEnvClient(upstream, timeout=0.2) as env:
        await env.reset()
        with pytest.raises(StepTimeout):
            await env.step(say("slow"))
        with pytest.raises(SessionLost):
            await env.step(say("hello"))
        await env.reset()
        assert (await env.step(say("hello"))).reward == 0.5


async def test_our_client_is_told_that_upstream_is_full(upstream: str) -> None:
    # The slow step of the test before may still hold a slot.
    clients = [OpenEnvClient(upstream, max_retries=10) for _ in range(SESSIONS)]
    for client in clients:
        await client.connect()
    with pytest.raises(CapacityReached) as caught:
        await OpenEnvClient(upstream, max_retries=2).connect()
    assert (caught.value.active, caught.value.maximum) == (SESSIONS, SESSIONS)
    waiting = asyncio.create_task(OpenEnvClient(upstream, max_retries=10).connect())
    for client in clients:
        await client.close()
    assert (await waiting).name == "EchoEnvironment"


async def test_upstreams_client_plays_on_our_mounted_server() -> None:
    config = EnvironmentServerConfig(max_sessions=1)
    app = Starlette(routes=[Mount("/envs", routes=environment_mounts(BUNDLED, config))])
    async with serving(app) as url:
        address = f"{url}/envs/guess_number"
        played = await official_client(address, "--seed", "7", "50", "25", "42")
        assert [result["hint"] for result in played["results"]] == ["start", "high", "low", "hit"]
        assert [result["reward"] for result in played["results"]] == [None, -0.1, -0.1, 1.0]
        assert [result["done"] for result in played["results"]] == [False, False, False, True]
        ended = played["results"][-1]["metadata"]
        assert ended == {"terminated": True, "truncated": False}
        assert played["state"] == {"episode_id": "e-1", "step_count": 3, "made": 3}
        assert "EXECUTION_ERROR" in played["failure"]
        # It has left: the only slot is free again.
        async with OpenEnvClient(address) as env:
            await env.reset()


async def official_client(*arguments: str) -> dict[str, Any]:
    assert launch.PYTHON.exists(), "there is no .venv-peers: run `python3 dev.py peers`"
    script = launch.HERE / "openenv_official_client.py"
    process = await asyncio.create_subprocess_exec(launch.PYTHON, script, *arguments, stdout=PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    played: dict[str, Any] = json.loads(output)
    return played
