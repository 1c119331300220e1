"""A step in two halves: sent now, its outcome awaited later, or never."""

from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.training.openenv.client import (
    Action,
    EpisodeOver,
    OpenEnvClient,
    OpenEnvInvalidActionError,
    OpenEnvSpecError,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.errors import EnvironmentNotReset
from agentcore.training.openenv.websocket import Coming
from tests.fakes.openenv_servers import (
    SAY,
    Drop,
    Hang,
    Leave,
    Reply,
    ScriptedServer,
    client,
    observation,
    refusal,
    sent,
)
from tests.fakes.waiting import eventually


def begun(env: OpenEnvClient, action: Action = SAY) -> Coming:
    coming = env.begin_step(action)
    assert coming is not None
    return coming


async def test_the_halves_make_a_step() -> None:
    server = ScriptedServer(steps=[observation(0.25), observation(1.0, done=True)])
    async with server.running() as url, client(url) as env:
        await env.reset()
        assert (await env.finish_step(begun(env))).reward == 0.25
        assert (await env.finish_step(begun(env))).done
        with pytest.raises(EpisodeOver):
            env.begin_step(SAY)
        await env.reset()
        assert not (await env.step(SAY)).done


async def test_what_is_refused_at_once_holds_up_nobody() -> None:
    async with ScriptedServer().running() as url, client(url) as env:
        with pytest.raises(EnvironmentNotReset):
            env.begin_step(SAY)
        await env.reset()
        with pytest.raises(OpenEnvInvalidActionError):
            env.begin_step(Action(type="say", parameters={"message": 1}))
        assert (await env.finish_step(begun(env))).reward == 0.5


async def test_all_frames_of_many_go_out_before_anything_is_awaited() -> None:
    server = ScriptedServer()
    async with server.running() as url:
        envs = [client(url) for _ in range(4)]
        await asyncio.gather(*(env.reset() for env in envs))
        under_way = [begun(env) for env in envs]
        outcomes = [
            await env.finish_step(coming) for env, coming in zip(envs, under_way, strict=True)
        ]
        assert [outcome.reward for outcome in outcomes] == [0.5] * 4
        await asyncio.gather(*(env.close() for env in envs))


async def test_another_call_waits_for_the_outcome_and_no_second_step_begins() -> None:
    async with ScriptedServer().running() as url, client(url) as env:
        await env.reset()
        coming = begun(env)
        assert env.begin_step(SAY) is None
        later = [asyncio.create_task(env.step(SAY)), asyncio.create_task(env.state())]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in later)
        await env.finish_step(coming)
        async with asyncio.timeout(20):
            await asyncio.gather(*later)


@pytest.mark.parametrize(
    ("reply", "error", "lost"),
    [
        (refusal("EXECUTION_ERROR", "broken"), OpenEnvStepError, False),
        (refusal("VALIDATION_ERROR", "wrong"), OpenEnvInvalidActionError, False),
        (Leave(refusal("SESSION_ERROR", "over")), SessionLost, True),
        (Drop, SessionLost, True),
        (Hang, StepTimeout, True),
        ("no json", OpenEnvSpecError, True),
        ({"type": "observation", "data": {"reward": 1}}, OpenEnvSpecError, True),
    ],
    ids=["failed", "refused", "left", "dropped", "late", "nonsense", "no observation"],
)
async def test_faults_are_those_of_a_step(reply: Reply, error: type[Exception], lost: bool) -> None:
    server = ScriptedServer(steps=[reply])
    async with server.running() as url, client(url) as env:
        await env.reset()
        events = env.subscribe_updates()
        env.timeout = 0.1 if reply is Hang else 10.0
        coming = begun(env)
        env.timeout = 10.0
        with pytest.raises(error):
            await env.finish_step(coming)
        assert env.phase == ("lost" if lost else "playing")
        if lost:
            assert (await anext(events))["type"] == "lost"
            with pytest.raises(SessionLost):
                env.begin_step(SAY)
            await env.reset()
        assert (await env.step(SAY)).reward == 0.5


async def test_an_abandoned_step_gives_up_the_session_and_frees_the_turn() -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url, client(url) as env:
        await env.reset()
        coming = begun(env)
        env.abandon_step(coming)
        env.abandon_step(coming)
        assert env.phase == "lost"
        with pytest.raises(SessionLost):
            await env.step(SAY)
        with pytest.raises(InvalidInput):
            await env.finish_step(coming)
        await env.reset()
        assert (await env.step(SAY)).reward == 0.5
        env.abandon_step(coming)
        assert env.phase == "playing", "what was abandoned long ago is another session's"


async def test_abandoned_while_somebody_awaits_it() -> None:
    """Whether the answer is there or not, the one who awaits it must not touch what follows."""
    for reply in (Hang, observation(0.25)):
        server = ScriptedServer(steps=[reply])
        async with server.running() as url, client(url) as env:
            await env.reset()
            coming = begun(env)
            finishing = asyncio.create_task(env.finish_step(coming))
            while reply is not Hang and not coming.done():
                await asyncio.sleep(0)
            if reply is Hang:
                await asyncio.sleep(0.01)
            env.abandon_step(coming)
            resetting = asyncio.create_task(env.reset())
            (outcome,) = await asyncio.gather(finishing, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError | SessionLost)
            await resetting
            assert env.phase == "playing"
            assert (await env.step(SAY)).reward == 0.5


async def test_a_cancelled_finish_gives_up_the_session() -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url, client(url) as env:
        await env.reset()
        finishing = asyncio.create_task(env.finish_step(begun(env)))
        await eventually(lambda: sent(server.received, "step"))
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        assert env.phase == "lost"
        await env.reset()
    assert len(sent(server.received, "step")) == 1
