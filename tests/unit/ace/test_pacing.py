from __future__ import annotations

import asyncio

import pytest

from agentcore.ace.pacing import ALL_TOLD, FIRST_GUESS, MEMORY, PAUSE, SHARE, WINDOW, Pace
from tests.fakes.clock import ManualClock


class Thread:
    """The CPU time of a thread: ``busy`` of the time is others', and work says what it takes."""

    def __init__(self, clock: ManualClock) -> None:
        self.used = 0.0
        self.busy = 0.0
        self._clock = clock

    def cpu(self) -> float:
        return self.used

    def passes(self, seconds: float) -> None:
        self.used += seconds * self.busy
        self._clock.advance(seconds)

    async def piece(self, seconds: float, steps: int = 4) -> str:
        for _ in range(steps):
            self.used += seconds / steps
            await asyncio.sleep(0)
        return "done"


@pytest.fixture
def thread(clock: ManualClock) -> Thread:
    return Thread(clock)


@pytest.fixture
def pace(clock: ManualClock, thread: Thread) -> Pace:
    return Pace(clock, cpu=thread.cpu)


async def pieces(pace: Pace, thread: Thread, *, seconds: float) -> int:
    """How many pieces of 10 ms begin within ``seconds``."""
    done, ends = 0, seconds
    while ends > 0:
        if pace.may_begin():
            await pace.turn()
            await pace.counted(thread.piece(0.01))
            done += 1
        thread.passes(PAUSE)
        ends -= PAUSE
    return done


async def test_alone_the_work_never_waits(pace: Pace, thread: Thread) -> None:
    assert await pieces(pace, thread, seconds=2) == pytest.approx(2 / PAUSE, abs=2)


@pytest.mark.parametrize("busy", [0.2, 0.5, 0.95])
async def test_beside_others_it_takes_its_share(pace: Pace, thread: Thread, busy: float) -> None:
    thread.busy = busy
    await pieces(pace, thread, seconds=2 * WINDOW)
    before = pace.own
    await pieces(pace, thread, seconds=20)
    assert (pace.own - before) / 20 == pytest.approx(SHARE, rel=0.1)


async def test_who_was_busy_a_moment_ago_is_waited_for(pace: Pace, thread: Thread) -> None:
    thread.busy = 0.9
    await pieces(pace, thread, seconds=2)
    thread.busy = 0.0
    assert await pieces(pace, thread, seconds=MEMORY / 2) <= 3
    await pieces(pace, thread, seconds=MEMORY)
    assert await pieces(pace, thread, seconds=1) == pytest.approx(1 / PAUSE, abs=2)


async def test_what_hurries_waits_no_longer(pace: Pace, thread: Thread) -> None:
    thread.busy = 0.9
    await pieces(pace, thread, seconds=2)
    pace.hurry()
    assert await pieces(pace, thread, seconds=1) == pytest.approx(1 / PAUSE, abs=2)


async def test_many_that_wait_do_not_begin_at_once(pace: Pace, thread: Thread) -> None:
    """Each turn is paid by a guess when it is taken, before anybody knows what it takes."""
    thread.busy = 0.9
    await pieces(pace, thread, seconds=2)
    thread.passes(10)
    begun = 0
    while pace.may_begin():
        await pace.turn()
        begun += 1
        assert begun < 10
    assert begun <= 3


async def test_of_many_that_wait_one_looks(pace: Pace, thread: Thread, clock: ManualClock) -> None:
    thread.busy = 0.9
    await pieces(pace, thread, seconds=2)
    while pace.may_begin():
        await pace.turn()
    waiting = [asyncio.create_task(pace.turn()) for _ in range(10)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert clock.slept == [PAUSE]
    pace.hurry()
    clock.advance(PAUSE)
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)


async def test_work_goes_through_unchanged(pace: Pace, thread: Thread) -> None:
    assert await pace.counted(thread.piece(0.01)) == "done"
    assert pace.own == pytest.approx(0.01 * ALL_TOLD)

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        await pace.counted(failing())


async def test_a_cancelled_piece_is_cancelled_and_counted(pace: Pace, thread: Thread) -> None:
    cleaned = asyncio.Event()

    async def endless() -> None:
        thread.used += FIRST_GUESS
        try:
            await asyncio.Event().wait()
        finally:
            thread.used += FIRST_GUESS
            cleaned.set()

    task = asyncio.create_task(pace.counted(endless()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
    assert pace.own == pytest.approx(2 * FIRST_GUESS * ALL_TOLD)
