"""What watchers of a session are told, and that it is told to nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agentcore.training.openenv.errors import (
    EnvironmentSessionNotFound,
    OpenEnvResetError,
    SessionLost,
    StepTimeout,
    WatcherLimitReached,
)
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.sessions import EnvironmentSessions
from agentcore.training.openenv.subscriptions import Subscription
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import caller, mounted, sessions_at
from tests.fakes.openenv_servers import Drop, Hang, ScriptedServer, observation, refusal
from tests.fakes.waiting import in_time

ADA = caller("ada")
BOB = caller("bob")
GUESS = Action(type="guess", parameters={"number": 42})
SAY = Action(type="say", parameters={"message": "hi"})


@pytest.fixture(scope="module")
async def envs() -> AsyncIterator[str]:
    async with mounted() as url:
        yield url


async def told(events: Subscription) -> list[dict[str, Any]]:
    return [json.loads(event.data)["params"] async for event in events]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


async def test_an_episode_is_told(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", session_id="mine")
        events = sessions.follow(ADA, "mine", None)
        await session.reset(7)
        await session.step(Action(type="guess", parameters={"number": 1}))
        await session.step(GUESS)
        await sessions.close(ADA, "mine")
    seen = await told(events)
    assert kinds(seen) == ["reset", "step", "done", "closed"]
    assert [event["event_id"].rpartition("-")[2] for event in seen] == ["1", "2", "3", "4"]
    assert {event["session_id"] for event in seen} == {"mine"}
    assert seen[1]["state"] == {"hint": "low"}
    assert (seen[1]["reward"], seen[1]["terminated"], seen[1]["step"]) == (-0.1, False, 1)
    assert (seen[2]["reward"], seen[2]["terminated"], seen[2]["truncated"]) == (1.0, True, False)
    assert events.closed


async def test_the_message_is_a_notification(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", seed=7)
        event = await anext(aiter(sessions.follow(ADA, session.id, "0")))
    message = json.loads(event.data)
    assert message.keys() == {"jsonrpc", "method", "params"}
    assert (message["jsonrpc"], message["method"]) == ("2.0", "environment.state_changed")
    assert message["params"]["event_id"] == event.id


@pytest.mark.parametrize(("reply", "error"), [(Drop, SessionLost), (Hang, StepTimeout)])
async def test_a_lost_session_is_told_once(
    reply: Any, error: type[Exception], envs: str, clock: ManualClock
) -> None:
    async def lose(step_seconds: float) -> None:
        await is_told_once(reply, error, envs, clock, step_seconds)

    await in_time(lose, 0.2 if reply is Hang else 60)


async def is_told_once(
    reply: Any, error: type[Exception], envs: str, clock: ManualClock, step_seconds: float
) -> None:
    registry = CollectorRegistry()
    metrics = OpenEnvMetrics(registry, ["far"])
    server = ScriptedServer(steps=[observation(0.5), reply])
    async with server.running() as url:
        config: dict[str, Any] = {"environments": [{"name": "far", "url": url}]}
        async with sessions_at(
            envs,
            clock,
            watch=lambda served: metrics.watch(served.name, "client"),
            step_seconds=step_seconds,
            **config,
        ) as sessions:
            session = await sessions.open(ADA, "far", seed=1)
            await session.step(SAY)
            with pytest.raises(error):
                await session.step(SAY)
            for _ in range(3):
                with pytest.raises(SessionLost):
                    await session.step(SAY)
            assert sessions.view(ADA, session.id).phase == "lost"
            await session.reset(2)
            events = sessions.follow(ADA, session.id, "0")
    assert kinds(await told(events)) == ["reset", "step", "lost", "reset", "closed"]
    labels = {"environment": "far", "side": "client"}
    assert registry.get_sample_value("openenv_lost_sessions_total", labels) == 1
    assert registry.get_sample_value("openenv_sessions", labels) == 0
    assert registry.get_sample_value("openenv_step_duration_seconds_count", labels) == 1


async def test_a_cancelled_step_is_a_lost_session(envs: str, clock: ManualClock) -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url:
        async with sessions_at(envs, clock, environments=[{"name": "far", "url": url}]) as sessions:
            session = await sessions.open(ADA, "far", seed=1)
            stepping = asyncio.create_task(session.step(SAY))
            while not any(frame["type"] == "step" for frame in server.received):
                await asyncio.sleep(0.001)
            stepping.cancel()
            await asyncio.wait([stepping])
            assert stepping.cancelled()
            events = sessions.follow(ADA, session.id, "0")
    assert kinds(await told(events)) == ["reset", "lost", "closed"]


async def test_closing_waits_for_the_step_that_runs(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", session_id="s", seed=7)
        events = sessions.follow(ADA, "s", None)
        async with asyncio.TaskGroup() as tasks:
            stepping = tasks.create_task(session.step(GUESS))
            await asyncio.sleep(0)
            tasks.create_task(sessions.close(ADA, "s"))
        assert stepping.result().reward == 1.0
    assert kinds(await told(events)) == ["done", "closed"]
    assert events.closed


async def test_a_reset_that_fails_is_no_event(envs: str, clock: ManualClock) -> None:
    server = ScriptedServer(resets=[observation(), refusal("EXECUTION_ERROR")])
    async with server.running() as url:
        async with sessions_at(envs, clock, environments=[{"name": "far", "url": url}]) as sessions:
            session = await sessions.open(ADA, "far", seed=1)
            with pytest.raises(OpenEnvResetError):
                await session.reset(2)
            assert sessions.view(ADA, session.id).phase == "idle"
            events = sessions.follow(ADA, session.id, "0")
    assert kinds(await told(events)) == ["reset", "closed"]


async def test_a_watcher_resumes_where_it_was(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock, events={"most_events": 3}) as sessions:
        session = await sessions.open(ADA, "guess_number", session_id="s", seed=7)
        first = await anext(aiter(sessions.follow(ADA, "s", "0")))
        for number in (1, 2):
            await session.step(Action(type="guess", parameters={"number": number}))
        again = aiter(sessions.follow(ADA, "s", first.id))
        assert json.loads((await anext(again)).data)["params"]["step"] == 1
        for number in (3, 4, 5):
            await session.step(Action(type="guess", parameters={"number": number}))
        late = sessions.follow(ADA, "s", first.id)
        await sessions.close(ADA, "s")
        # The same name is another session: its events are not the old ones' continuation.
        await sessions.open(ADA, "guess_number", session_id="s", seed=7)
        other = aiter(sessions.follow(ADA, "s", first.id))
        gap = json.loads((await anext(other)).data)["params"]
    seen = await told(late)
    assert (seen[0]["kind"], seen[0]["missed"]) == ("gap", 3)
    assert kinds(seen[1:]) == ["step", "step", "closed"]
    assert (gap["kind"], gap["missed"]) == ("gap", None)


async def test_only_those_who_may_act_may_watch(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        own = await sessions.open(ADA, "guess_number", session_id="s")
        shared = await sessions.open(ADA, "guess_number", session_id="t", agents=["bob"])
        for who, session_id in (
            (BOB, own.id),
            (BOB, "s"),
            (BOB, "t"),
            (caller("ada", "other"), own.id),
            (caller("bob", "other"), shared.id),
        ):
            with pytest.raises(EnvironmentSessionNotFound):
                sessions.follow(who, session_id, "0")
        events = sessions.follow(BOB, shared.id, None)
        await shared.reset(1)
    assert (await told(events))[0]["shared_id"] == shared.id


async def test_watchers_are_bounded_and_free_their_place(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock, events={"most_watchers": 2}) as sessions:
        session = await sessions.open(ADA, "guess_number")
        watchers = [sessions.follow(ADA, session.id, None) for _ in range(2)]
        with pytest.raises(WatcherLimitReached):
            sessions.follow(ADA, session.id, None)
        watchers.pop()
        sessions.follow(ADA, session.id, None)


async def test_watching_keeps_no_session_open(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock, idle_seconds=40) as sessions:
        session = await sessions.open(ADA, "guess_number")
        reaping = asyncio.create_task(sessions.reap())
        waiting = asyncio.create_task(told(sessions.follow(ADA, session.id, None)))
        while not waiting.done():
            await asyncio.sleep(0)
            clock.advance(10)
        reaping.cancel()
        assert kinds(waiting.result()) == ["closed"]
        assert len(sessions) == 0


async def test_a_service_that_stops_sends_watchers_away(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", seed=1)
        events = sessions.follow(ADA, session.id, "0")
        sessions.dismiss()
        assert kinds(await told(events)) == ["reset"]
        assert not events.closed
        assert (await session.step(GUESS)).reward is not None


def of(sessions: EnvironmentSessions, session_id: str) -> str:
    return sessions.view(ADA, session_id).phase


async def test_phases_are_shown(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", session_id="s")
        assert of(sessions, "s") == "idle"
        await session.reset(7)
        assert of(sessions, "s") == "playing"
        await session.step(GUESS)
        assert of(sessions, "s") == "over"
        clock.advance(5)
        view = sessions.view(ADA, "s")
        assert (view.episodes, view.steps, view.idle_seconds) == (1, 1, 5.0)
        assert view.last_event_id.endswith("-2")
