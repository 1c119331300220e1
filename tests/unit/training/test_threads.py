"""Calls in threads: in turn, cut off, and going on without anybody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from agentcore.kit.errors import Conflict
from agentcore.training.openenv.errors import OpenEnvError, SessionLost, StepStillRunning
from agentcore.training.openenv.threads import MOST_IDLE, EnvironmentCalls, EnvironmentThreads
from tests.fakes.waiting import eventually


class Gate:
    """Work that waits in its thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(60)
        return "done"


class Left:
    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self) -> Callable[[], None]:
        self.told.append("left")
        return lambda: self.told.append("ended")


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def calls(left: Left) -> EnvironmentCalls:
    return EnvironmentCalls(EnvironmentThreads(), asyncio.Semaphore(1), left)


def allow() -> None:
    return


def refuse() -> None:
    raise SessionLost("closed meanwhile")


async def cut(calls: EnvironmentCalls, work: Gate) -> None:
    """Cancel a call while it computes."""
    task = asyncio.ensure_future(calls.run(work, allow))
    await eventually(work.begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_results_and_errors_come_back_from_a_thread_that_ends_with_the_process() -> None:
    threads = EnvironmentThreads()

    def fail() -> None:
        raise Conflict("not now")

    assert (await threads.begin(threading.current_thread)).daemon
    with pytest.raises(Conflict, match="not now"):
        await threads.begin(fail)
    first, again = (
        await threads.begin(threading.get_ident),
        await threads.begin(threading.get_ident),
    )
    assert first == again != threading.get_ident()


async def test_what_breaks_out_of_its_thread_takes_nobody_along() -> None:
    threads = EnvironmentThreads()

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(OpenEnvError, match="broke out of its call: SystemExit"):
        await threads.begin(leave)
    assert await threads.begin(lambda: 7) == 7


async def test_few_threads_stay_when_many_have_computed() -> None:
    threads, others = EnvironmentThreads(), {*threading.enumerate()}

    def own() -> list[threading.Thread]:
        found = [each for each in threading.enumerate() if each not in others]
        return [each for each in found if each.name == "environment"]

    gates = [Gate() for _ in range(MOST_IDLE + 8)]
    computing = [threads.begin(gate) for gate in gates]
    assert len(own()) == len(gates)
    for gate in gates:
        gate.go_on.set()
    await asyncio.gather(*computing)
    await eventually(lambda: len(own()) == MOST_IDLE)
    del threads, computing
    await eventually(lambda: own() == [])


def test_a_loop_that_is_gone_is_told_nothing() -> None:
    gate = Gate()

    async def begin() -> None:
        EnvironmentThreads().begin(gate)

    asyncio.run(begin())
    gate.go_on.set()


async def test_while_a_cut_call_computes_nothing_else_does(
    calls: EnvironmentCalls, left: Left
) -> None:
    gate = Gate()
    await cut(calls, gate)
    assert (calls.cut, left.told) == (True, ["left"])
    with pytest.raises(StepStillRunning, match="still computes"):
        calls.refuse_cut()
    with pytest.raises(StepStillRunning):
        await calls.run(lambda: 1, allow)
    gate.go_on.set()
    await eventually(lambda: not calls.cut)
    assert left.told == ["left", "ended"]
    assert await calls.run(lambda: 1, allow) == 1


async def test_what_waits_for_its_turn_is_refused_behind_a_cut_call_or_not_computed(
    calls: EnvironmentCalls,
) -> None:
    gate, done = Gate(), list[str]()
    first = asyncio.ensure_future(calls.run(gate, allow))
    await eventually(gate.begun.is_set)
    second, third = (
        asyncio.ensure_future(calls.run(lambda: done.append("computed"), allow)) for _ in range(2)
    )
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    outcomes = await asyncio.gather(first, second, third, return_exceptions=True)
    assert [type(each) for each in outcomes] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        StepStillRunning,
    ]
    gate.go_on.set()
    await eventually(lambda: not calls.cut)
    assert done == []


async def test_a_call_that_was_not_cut_in_time_has_ended(
    calls: EnvironmentCalls, left: Left
) -> None:
    gate = Gate()
    task = asyncio.ensure_future(calls.run(gate, allow))
    await eventually(gate.begun.is_set)
    gate.go_on.set()
    assert await task == "done"
    assert not task.cancel()
    assert (calls.cut, left.told) == (False, [])


async def test_whoever_may_not_when_its_turn_comes_does_not_compute(
    calls: EnvironmentCalls,
) -> None:
    with pytest.raises(SessionLost):
        await calls.run(lambda: 1, refuse)
    assert await calls.run(lambda: 2, allow) == 2


@pytest.mark.parametrize("is_cut", [True, False])
async def test_closing_comes_behind_what_computes_and_waits_for_none(
    is_cut: bool, calls: EnvironmentCalls
) -> None:
    gate, told = Gate(), list[str]()
    task = asyncio.ensure_future(calls.run(gate, allow))
    await eventually(gate.begun.is_set)
    if is_cut:
        task.cancel()
        await asyncio.wait([task])
    await calls.close(lambda: told.append("closed"), lambda: told.append("then"))
    assert told == []
    gate.go_on.set()
    await eventually(lambda: len(told) == 2)
    assert told == ["closed", "then"]
    assert is_cut or await task == "done"


async def test_where_nothing_computes_closing_is_waited_for(calls: EnvironmentCalls) -> None:
    told: list[str] = []
    await calls.close(lambda: told.append("closed"), lambda: told.append("then"))
    await asyncio.sleep(0)
    assert told == ["closed", "then"]


@pytest.mark.parametrize("seed", range(5))
async def test_calls_never_overlap_however_they_are_cut(
    seed: int, calls: EnvironmentCalls, left: Left
) -> None:
    random, inside, most = Random(seed), threading.Semaphore(1), list[str]()

    def work() -> None:
        if not inside.acquire(blocking=False):
            most.append("two at once")
        time.sleep(0.0005)
        inside.release()

    for _ in range(40):
        running = [asyncio.ensure_future(calls.run(work, allow)) for _ in range(3)]
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
        random.choice(running).cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError | StepStillRunning | None)
        await eventually(lambda: not calls.cut)
    assert most == []
    assert left.told.count("left") == left.told.count("ended")
