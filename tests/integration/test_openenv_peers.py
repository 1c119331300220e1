"""Against the official `openenv` package, both ways: its server and our client, and the reverse.

The newest release and two older ones; what depends on the newest is tested with it alone.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcore.training.openenv.client import (
    Action,
    CapacityReached,
    EpisodeOver,
    OpenEnvClient,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.conformance import checks_mcp
from agentcore.training.openenv.conformance.models import Plan
from agentcore.training.openenv.conformance.suite import CHECKS, run_checks
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.playing import remote_sessions
from agentcore.training.players import find_policy
from agentcore.training.recording import Recorder, header_of, read_recording
from agentcore.training.replaying import replay
from agentcore.training.rollouts import RolloutPlan, rollout
from tests.contracts.openenv.reports import found
from tests.fakes.openenv_servers import envs_app, serving
from tests.peers import launch
from tests.wire.openenv.recordings import load, record

SESSIONS = 3


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[str]:
    async with launch.upstream_openenv("--sessions", str(SESSIONS)) as url:
        yield url


@pytest.fixture(scope="module", params=launch.RELEASES)
async def any_upstream(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    options = ("--sessions", str(SESSIONS))
    async with launch.upstream_openenv(*options, release=request.param) as url:
        yield url


def say(message: str) -> Action:
    return Action(type="say", parameters={"message": message}, metadata={"trace_id": "t"})


OURS_ALONE = {"ready", "render", "terminated-truncated", "agent-scope"}
# Release 0.2.0 has neither sessions by /mcp nor task sets.
LATER = {"0.2.0": {"tasks", *(check.id for check in checks_mcp.CHECKS)}}


async def test_upstream_passes_the_suite_that_ours_pass(
    any_upstream: str, request: pytest.FixtureRequest
) -> None:
    plan = Plan(url=any_upstream, sessions=SESSIONS)
    report = await run_checks(plan, CHECKS, lambda *_: None)
    release = request.node.callspec.params["any_upstream"]
    assert found(report, "fail") == {}
    # Its scaffold takes anybody from anywhere, and answers a step behind the end once more.
    assert set(found(report, "warn")) == {"auth", "origin", "done-once"}, found(report, "warn")
    not_offered = OURS_ALONE | LATER.get(release, set())
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


async def test_our_client_plays_on_upstreams_server(any_upstream: str) -> None:
    async with OpenEnvClient(any_upstream) as env:
        info = await env.connect()
        assert info.name == "EchoEnvironment"
        assert info.capacity is None
        options = {"episode_id": "e-1", "greeting": "grüß"}
        first = await env.reset(seed=0, options=dict(options))
        assert first.state == {"echo": "grüß"}
        # Releases before 0.4 drop what an environment says beside its observation.
        assert first.metadata in ({"seed": 0}, {})
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


async def test_our_client_gives_up_a_slow_step(any_upstream: str) -> None:
    async with OpenEnvClient(any_upstream, timeout=60) as env:
        # Who is kept from looking at the clock finds the answer there all the same.
        for _ in range(20):
            await env.reset()
            env.timeout = 0.1
            try:
                await env.step(say("slow"))
            except StepTimeout:
                break
            finally:
                env.timeout = 60
        with pytest.raises(SessionLost):
            await env.step(say("hello"))
        await env.reset()
        assert (await env.step(say("hello"))).reward == 0.5


async def test_our_client_is_told_that_upstream_is_full(any_upstream: str) -> None:
    # The slow step of the test before may still hold a slot.
    clients = [OpenEnvClient(any_upstream, capacity_timeout=60) for _ in range(SESSIONS)]
    for client in clients:
        await client.connect()
    with pytest.raises(CapacityReached) as caught:
        await OpenEnvClient(any_upstream, max_retries=2).connect()
    assert (caught.value.active, caught.value.maximum) == (SESSIONS, SESSIONS)
    late = OpenEnvClient(any_upstream, max_retries=1, capacity_timeout=60)
    waiting = asyncio.create_task(late.connect())
    for client in clients:
        await client.close()
    assert (await waiting).name == "EchoEnvironment"
    await late.close()


async def test_our_client_attaches_to_a_session_that_was_made_before(upstream: str) -> None:
    async with httpx2.AsyncClient(base_url=upstream) as http:
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
        made = (await http.post("/mcp", json=create)).json()["result"]["session_id"]
        first, second = OpenEnvClient(upstream), OpenEnvClient(upstream)
        await first.connect(made)
        await first.reset(seed=3)
        await first.step(say("hello"))
        for taken_or_unknown in (made, "nobody's"):
            with pytest.raises(SessionLost, match="cannot attach"):
                await second.connect(taken_or_unknown)
        await first.close()
        # The session outlives the socket: whoever attaches next is in the same episode.
        await second.connect(made)
        assert (await second.state())["step_count"] == 1
        await second.close()
        close = {**create, "method": "openenv/session/close", "params": {"session_id": made}}
        assert (await http.post("/mcp", json=close)).json()["result"]["closed"] is True


async def test_upstream_killed_mid_episode_is_a_lost_session_and_nothing_else() -> None:
    async with launch.upstream_openenv(release="0.2.0") as url:
        port = url.rpartition(":")[2]
        env = OpenEnvClient(url, max_retries=10)
        await env.reset(seed=1)
        await env.step(say("hello"))
    with pytest.raises(SessionLost):
        await env.step(say("hello"))
    async with launch.upstream_openenv("--port", port, release="0.2.0"):
        with pytest.raises(SessionLost):
            await env.step(say("hello"))
        await env.reset(seed=2)
        await env.step(say("hello"))
        assert (await env.state())["step_count"] == 1
        await env.close()


@pytest.mark.parametrize("release", launch.RELEASES)
async def test_upstreams_client_plays_on_our_mounted_server(release: str) -> None:
    config = EnvironmentServerConfig(max_sessions=1)
    app = envs_app(BUNDLED, config)
    async with serving(app) as url:
        address = f"{url}/envs/guess_number"
        played = await official_client(release, address, "--seed", "7", "50", "25", "42")
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


async def official_client(release: str, *arguments: str) -> dict[str, Any]:
    script = launch.HERE / "openenv_official_client.py"
    process = await asyncio.create_subprocess_exec(
        launch.python(release), script, *arguments, stdout=PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    played: dict[str, Any] = json.loads(output)
    return played


async def test_rollouts_on_upstreams_server_are_recorded_and_replayed(
    upstream: str, tmp_path: Path
) -> None:
    async with OpenEnvClient(upstream) as env:
        info = await env.connect()
    path = tmp_path / "upstream.jsonl.gz"
    header = header_of(info, url=upstream, policy="random", at=datetime(2026, 1, 1, tzinfo=UTC))
    with Recorder(path, header) as recorder:
        played = await rollout(
            find_policy("random", info),
            remote_sessions(upstream),
            4,
            plan=RolloutPlan(concurrency=2, max_steps=3),
            watchers=[recorder],
        )
    assert [episode.length for episode in played.episodes] == [3] * 4
    assert not played.failures
    session = remote_sessions(upstream)(0)
    replayed = await replay(read_recording(path).episodes, session)
    await session.close()
    assert [each.verdict for each in replayed] == ["same"] * 4
