from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from agentcore.kit.db import TransientFault
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_dead_task_is_restarted_and_visible_meanwhile(clock: ManualClock) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("first run dies")
        await asyncio.Event().wait()

    async with Supervisor(clock) as supervisor:
        supervisor.start("worker", work)
        await settle()
        health = supervisor.health()["worker"]
        assert (health.state, health.alive, health.restarts) == ("restarting", False, 1)
        assert health.error == "ValueError"
        clock.advance(0.1)
        await settle()
        assert (runs, supervisor.health()["worker"].alive) == (2, True)


async def test_the_wait_between_restarts_grows(clock: ManualClock) -> None:
    async def work() -> None:
        raise ValueError("always")

    async with Supervisor(clock) as supervisor:
        supervisor.start("worker", work)
        for wait in (0.1, 0.2, 0.4):
            await settle()
            clock.advance(wait)
        await settle()
    assert clock.slept[:4] == [0.1, 0.2, 0.4, 0.8]


async def test_what_is_away_is_waited_for_and_said_once(clock: ManualClock) -> None:
    away = TransientFault("the database is away")
    faults: list[Exception] = [
        away,
        ExceptionGroup("two", [away, ExceptionGroup("more", [away])]),
        *[away] * 6,
        ExceptionGroup("two", [away, ValueError("another one")]),
        away,
    ]

    async def work() -> None:
        raise faults.pop(0)

    with capture_logs() as logs:
        async with Supervisor(clock) as supervisor:
            supervisor.start("worker", work)
            supervisor.spawn("once", _raising(away))
            for wait in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 10.0):
                await settle()
                assert supervisor.health()["worker"].state == "restarting"
                clock.advance(wait)
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 10.0]
    told = [(each["task"], each["event"], "exc_info" in each) for each in logs]
    assert sorted(told) == [
        ("once", "background work failed", False),
        ("worker", "background task died", True),
        ("worker", "background task waits", False),
        ("worker", "background task waits", False),
    ]


async def _raising(error: Exception) -> None:
    raise error


async def test_a_task_that_returns_is_finished(clock: ManualClock) -> None:
    async def work() -> None:
        return None

    async with Supervisor(clock) as supervisor:
        supervisor.start("once", work)
        await settle()
        assert supervisor.health()["once"].state == "finished"
        with pytest.raises(ValueError, match="'once' is already running"):
            supervisor.start("once", work)


@pytest.mark.parametrize("known", ["finished", "running", "nobody"])
async def test_ending_one_leaves_the_others(clock: ManualClock, known: str) -> None:
    async def rest() -> None:
        await asyncio.Event().wait()

    async def done() -> None:
        pass

    async with Supervisor(clock) as supervisor:
        other = supervisor.start("other", rest)
        supervisor.start("finished", done)
        supervisor.start("running", rest)
        await settle()
        await supervisor.end(known)
        assert not other.done()
        assert known not in supervisor.health()


async def test_leaving_cancels_everything() -> None:
    cancelled: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(name)

    async with Supervisor() as supervisor:
        supervisor.start("kept", lambda: work("kept"))
        supervisor.spawn("once", work("once"))
        await settle()
    assert sorted(cancelled) == ["kept", "once"]


async def test_a_failed_one_shot_keeps_its_error() -> None:
    async def work() -> None:
        raise ValueError("gone wrong")

    async with Supervisor() as supervisor:
        task = supervisor.spawn("once", work())
        with pytest.raises(ValueError, match="gone wrong"):
            await task
