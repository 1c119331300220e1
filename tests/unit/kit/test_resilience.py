from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.errors import DeadlineExceeded, InvalidInput, Unavailable
from agentcore.kit.resilience import CircuitBreaker, CircuitOpen, Deadline, retry
from tests.fakes.clock import InstantClock, ManualClock


def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("peer", failure_threshold=3, recovery_seconds=60, clock=clock)


async def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Unavailable):
            async with breaker.guard():
                raise Unavailable("down")


async def test_the_breaker_opens_tries_once_and_closes(clock: ManualClock) -> None:
    tested = breaker(clock)
    await fail(tested, 2)
    assert tested.state == "closed"
    await fail(tested, 1)
    assert tested.state == "open"
    with pytest.raises(CircuitOpen, match="peer failed 3 times") as caught:
        tested.admit()
    assert caught.value.retry_after == 60
    clock.advance(60)
    assert tested.state == "half_open"
    tested.admit()
    with pytest.raises(CircuitOpen):
        tested.admit()
    tested.succeeded()
    assert tested.state == "closed"


async def test_a_failed_trial_opens_the_breaker_again(clock: ManualClock) -> None:
    tested = breaker(clock)
    await fail(tested, 3)
    clock.advance(60)
    await fail(tested, 1)
    assert tested.state == "open"


async def test_a_success_forgives_earlier_failures(clock: ManualClock) -> None:
    tested = breaker(clock)
    await fail(tested, 2)
    async with tested.guard():
        pass
    await fail(tested, 2)
    assert tested.state == "closed"


async def test_what_nobody_is_blamed_for_tells_nothing_and_cancellation_neither(
    clock: ManualClock,
) -> None:
    tested = breaker(clock)
    await fail(tested, 2)
    for _ in range(5):
        with pytest.raises(InvalidInput):
            async with tested.guard(blames=lambda error: not isinstance(error, InvalidInput)):
                raise InvalidInput("bad request")
    assert tested.state == "closed"
    await fail(tested, 1)
    assert tested.state == "open", "the failures before are not forgiven"
    clock.advance(60)
    with pytest.raises(asyncio.CancelledError):
        async with tested.guard():
            raise asyncio.CancelledError
    tested.admit()


async def test_retry_waits_longer_each_time_and_gives_up() -> None:
    clock, calls = InstantClock(), 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise Unavailable("down")

    with pytest.raises(Unavailable):
        await retry(
            work, on=(Unavailable,), attempts=4, base=0.1, cap=0.5, clock=clock, random=lambda: 1.0
        )
    assert calls == 4
    assert clock.slept == [0.2, 0.4, 0.5]


async def test_retry_returns_the_first_success_and_keeps_to_its_errors() -> None:
    answers = iter([Unavailable("down"), None])

    async def work() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "up"

    assert await retry(work, on=(Unavailable,), clock=InstantClock()) == "up"

    async def wrong() -> None:
        raise InvalidInput("no")

    clock = InstantClock()
    with pytest.raises(InvalidInput):
        await retry(wrong, on=(Unavailable,), clock=clock)
    assert clock.slept == []


@pytest.mark.parametrize(("asked", "slept"), [(1.5, [1.5]), (10.0, [])])
async def test_retry_honours_retry_after_up_to_its_cap(asked: float, slept: list[float]) -> None:
    clock = InstantClock()

    async def work() -> None:
        raise Unavailable("busy", retry_after=asked)

    with pytest.raises(Unavailable):
        await retry(work, on=(Unavailable,), attempts=2, cap=2.0, clock=clock, random=lambda: 0.0)
    assert clock.slept == slept


def test_a_deadline_runs_out(clock: ManualClock) -> None:
    deadline = Deadline(5, clock)
    clock.advance(4)
    assert deadline.remaining() == 1
    deadline.check()
    clock.advance(2)
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded):
        deadline.check()
    assert Deadline(None, clock).remaining() == float("inf")
