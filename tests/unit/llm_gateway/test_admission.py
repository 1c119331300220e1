from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway import admission
from agentcore.llm_gateway.admission import (
    ASSUMED_SERVICE,
    LEAST_RESERVE,
    LONG_PAUSE,
    LONG_SERVICE,
    NO_QUEUE,
    PAUSE_SECONDS,
    RESERVE_SECONDS,
    FixedLimit,
    Full,
    Gate,
    Pass,
)
from agentcore.llm_gateway.capacity import FIRST_GUESS, AdaptiveLimit
from agentcore.llm_gateway.models import PRIORITIES, ChatCall, Priority, QueueConfig
from tests.fakes.clock import ManualClock

QUEUE = QueueConfig(places=100, patience=600.0, gather=0.0)
GATHERING = QueueConfig(places=100, patience=600.0, gather=0.001)


def call(priority: Priority = "low", owner: str = "a", deadline: float | None = None) -> ChatCall:
    return ChatCall("m", {}, priority=priority, subject=owner, deadline=deadline)


def gate(
    limit: int | None, queueing: QueueConfig = QUEUE, clock: ManualClock | None = None
) -> Gate:
    clock = clock or ManualClock()
    return Gate(FixedLimit(limit, clock), clock, queueing)


class Line:
    """Calls in the order in which they were let in."""

    def __init__(self, door: Gate) -> None:
        self.door = door
        self.order: list[str] = []
        self.refused: list[str] = []
        self.passes: list[Pass] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, wanted: ChatCall) -> asyncio.Task[None]:
        async def enter() -> None:
            try:
                granted = await self.door.enter(wanted)
            except Full:
                self.refused.append(name)
                return
            self.order.append(name)
            self.passes.append(granted)

        task = asyncio.create_task(enter())
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def serve(self) -> None:
        """End calls one by one until nobody is left."""
        while self.passes:
            self.passes.pop(0).leave(answered=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_without_a_limit_everybody_starts() -> None:
    door = gate(None, NO_QUEUE)
    passes = [await door.enter(call()) for _ in range(50)]
    assert (door.in_flight, door.load, door.forecast("low")) == (50, 50.0, 0.0)
    for granted in passes:
        granted.leave()
    assert door.in_flight == 0


async def test_without_a_queue_a_full_gate_refuses_at_once() -> None:
    door = gate(1, NO_QUEUE)
    granted = await door.enter(call())
    with pytest.raises(Full) as caught:
        await door.enter(call("high"))
    assert caught.value.retry_after >= 1
    granted.leave()
    granted.leave()
    (await door.enter(call())).leave()
    assert door.in_flight == 0


async def test_a_part_is_kept_for_who_cannot_wait() -> None:
    line = Line(gate(4))
    for number in range(6):
        await line.ask(f"low{number}", call("low"))
    assert line.order == ["low0", "low1", "low2"]
    await line.ask("high", call("high"))
    assert line.order[-1] == "high"
    await line.ask("medium", call("medium"))
    await line.ask("high2", call("high"))
    await line.serve()
    assert line.order[4] == "high2"
    assert line.order[5] == "medium"


async def test_the_reserve_lapses_when_nobody_wants_it() -> None:
    clock = ManualClock()
    door = gate(4, clock=clock)
    clock.advance(RESERVE_SECONDS)
    passes = [await door.enter(call("low"))]
    clock.advance(LEAST_RESERVE)
    passes += [await door.enter(call("low")) for _ in range(3)]
    assert not door.free("high")
    for granted in passes:
        granted.leave()
    (await door.enter(call("high"))).leave()
    for _ in range(3):
        await door.enter(call("low"))
    assert not door.free("low")
    assert door.free("high")


async def test_who_comes_first_to_an_idle_gate_leaves_room() -> None:
    clock = ManualClock()
    door = gate(4, clock=clock)
    clock.advance(10 * RESERVE_SECONDS)
    for _ in range(3):
        await door.enter(call("low"))
    assert not door.free("low")
    assert door.free("high")


async def test_the_reserve_is_held_over_the_usual_pause() -> None:
    clock = ManualClock()
    door = gate(4, clock=clock)
    clock.advance(RESERVE_SECONDS)
    await door.enter(call("low"))
    for _ in range(20):
        # Three at once are one moment.
        for _ in range(3):
            (await door.enter(call("high"))).leave()
        clock.advance(10)
    assert door.in_flight == 1
    for _ in range(2):
        await door.enter(call("low"))
    clock.advance(25)
    assert not door.free("low")
    clock.advance(10)
    assert door.free("low")


async def test_places_that_come_free_soon_are_not_kept_for_who_pauses_long() -> None:
    clock = ManualClock()
    door = gate(4, clock=clock)
    for _ in range(2):
        granted = await door.enter(call("high"))
        clock.advance(1)
        granted.leave(answered=True)
        clock.advance(LONG_PAUSE + 1)
    await door.enter(call("high"))
    for _ in range(2):
        await door.enter(call("low"))
    assert not door.free("low")
    clock.advance(LEAST_RESERVE)
    assert door.free("low")


@pytest.mark.parametrize(("seconds", "ready"), [(0.1, 1), (LONG_SERVICE, 0)])
async def test_where_answers_are_short_somebody_stands_ready(seconds: float, ready: int) -> None:
    clock = ManualClock()
    door = Gate(AdaptiveLimit(clock), clock, QUEUE)
    granted = await door.enter(call("low"))
    clock.advance(seconds)
    granted.leave(answered=True)
    for _ in range(3):
        await door.enter(call("low"))
    assert not door.free("low")
    clock.advance(LEAST_RESERVE)
    for _ in range(1 + ready):
        assert door.free("low")
        await door.enter(call("low"))
    assert not door.free("low")
    assert not door.free("high")
    assert door.in_flight == FIRST_GUESS + ready


async def test_nobody_stands_ready_where_the_bound_was_told() -> None:
    clock = ManualClock()
    reported = AdaptiveLimit(clock)
    reported.told(2)
    for limit in (FixedLimit(2, clock), reported):
        door = Gate(limit, clock, QUEUE)
        (await door.enter(call("medium"))).leave(answered=True)
        await door.enter(call("medium"))
        clock.advance(LEAST_RESERVE)
        await door.enter(call("medium"))
        assert not door.free("medium")


async def test_who_comes_along_with_low_priority_starts_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, over = asyncio.get_running_loop(), list[Callable[[], object]]()
    call_later = loop.call_later

    def only_when_told(seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        assert seconds == GATHERING.gather
        over.append(callback)
        return call_later(3600, callback)

    monkeypatch.setattr(loop, "call_later", only_when_told)
    line = Line(gate(3, GATHERING))
    for number in range(3):
        await line.ask(f"low{number}", call("low"))
    assert line.order == []
    assert (line.door.free("low"), line.door.free("high")) == (False, True)
    assert line.door.forecast("low") == pytest.approx(0.001 + 2 * ASSUMED_SERVICE / 2)
    await line.ask("medium", call("medium"))
    await line.ask("high", call("high"))
    assert line.order == ["medium", "high"]
    line.passes.pop().leave(answered=True)
    over.pop()()
    await line.tasks[0]
    assert line.order == ["medium", "high", "low0"]


async def test_low_priority_gathers_only_after_a_pause() -> None:
    clock = ManualClock()
    door = gate(2, GATHERING, clock)
    (await door.enter(call("low"))).leave()
    clock.advance(PAUSE_SECONDS)
    granted = door.take(call("low"))
    assert granted is not None
    granted.leave()
    clock.advance(PAUSE_SECONDS + 1)
    assert door.take(call("low")) is None
    (await door.enter(call("low"))).leave()
    assert door.in_flight == 0


async def test_low_priority_does_not_gather_where_nothing_is_scarce() -> None:
    assert gate(None, GATHERING).take(call("low")) is not None
    assert gate(1, NO_QUEUE).take(call("low")) is not None


async def test_callers_of_a_class_take_turns() -> None:
    line = Line(gate(1))
    await line.ask("first", call())
    for number in range(3):
        await line.ask(f"greedy{number}", call(owner="greedy"))
    await line.ask("modest", call(owner="modest"))
    await line.serve()
    assert line.order == ["first", "greedy0", "modest", "greedy1", "greedy2"]


async def test_who_waits_long_rises() -> None:
    clock = ManualClock()
    line = Line(gate(1, clock=clock))
    await line.ask("first", call("high"))
    await line.ask("old", call("low", "b"))
    clock.advance(2 * QUEUE.ageing)
    await line.ask("new", call("high"))
    await line.serve()
    assert line.order == ["first", "old", "new"]


async def test_what_cannot_start_in_time_is_refused_now() -> None:
    clock = ManualClock()
    door = gate(1, clock=clock)
    granted = await door.enter(call())
    clock.advance(8)
    granted.leave(answered=True)
    granted = await door.enter(call())
    waits = door.forecast("high")
    assert waits is not None
    assert waits > 1
    with pytest.raises(Full):
        await door.enter(call(deadline=clock.monotonic() + waits / 2))
    assert door.queued["low"] == 0


@pytest.mark.parametrize("limit", [1, 4])
async def test_the_wait_is_that_of_all_ahead_shared_by_the_places(limit: int) -> None:
    door = gate(limit)
    line = Line(door)
    for number in range(limit):
        await line.ask(str(number), call("high"))
    owner = call("high").owner
    assert door.forecast("high", owner) == ASSUMED_SERVICE / limit
    for number in range(2):
        await line.ask(f"waiting {number}", call("high"))
    assert door.forecast("high", owner) == 3 * ASSUMED_SERVICE / limit
    await line.serve()
    assert door.forecast("high", owner) == 0


async def test_the_line_is_bounded_by_class() -> None:
    line = Line(gate(1, QueueConfig(places=1, patience=600, gather=0)))
    await line.ask("first", call())
    await line.ask("second", call())
    assert line.door.forecast("low") is None
    with pytest.raises(Full):
        await line.door.enter(call())
    await line.ask("high", call("high"))
    await line.serve()
    assert line.order == ["first", "high", "second"]


async def test_who_floods_the_line_pays_for_it() -> None:
    line = Line(gate(1, QueueConfig(places=4, patience=600, gather=0)))
    await line.ask("first", call(owner="greedy"))
    for number in range(5):
        await line.ask(f"greedy{number}", call(owner="greedy"))
    assert line.refused == ["greedy4"]
    for owner in ("modest", "other", "third"):
        await line.ask(owner, call(owner=owner))
    # Everybody has one call in line now, so nobody makes room for one more.
    await line.ask("late", call(owner="late"))
    assert line.refused == ["greedy4", "greedy3", "greedy2", "greedy1", "late"]
    await line.serve()
    assert line.order == ["first", "greedy0", "modest", "other", "third"]
    assert (line.door.in_flight, line.door.queued["low"]) == (0, 0)


async def test_others_wait_by_turns_not_behind_a_flood() -> None:
    clock = ManualClock()
    line = Line(gate(1, QueueConfig(places=100, patience=6, gather=0), clock=clock))
    await line.ask("first", call(owner="greedy"))
    for number in range(9):
        await line.ask(f"greedy{number}", call(owner="greedy"))
    # A further call of the flood would come too late; others have one call of it before them.
    assert line.refused == ["greedy6", "greedy7", "greedy8"]
    assert line.door.forecast("low", ("default", "greedy")) == 7
    assert line.door.forecast("low", ("default", "modest")) == 2
    await line.ask("modest", call(owner="modest", deadline=clock.monotonic() + 3))
    await line.serve()
    assert line.order[:3] == ["first", "greedy0", "modest"]


async def test_who_is_turned_out_and_leaves_in_the_same_moment_leaves_once() -> None:
    line = Line(gate(1, QueueConfig(places=2, patience=600, gather=0)))
    await line.ask("first", call())
    await line.ask("second", call())
    third = await line.ask("third", call())
    modest = asyncio.ensure_future(line.door.enter(call(owner="modest")))
    asyncio.get_running_loop().call_soon(third.cancel)
    await asyncio.sleep(0)
    assert line.door.queued["low"] == 2
    await asyncio.gather(third, return_exceptions=True)
    await line.serve()
    (await modest).leave()
    assert line.order == ["first", "second"]
    assert (line.door.in_flight, line.door.queued["low"]) == (0, 0)


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ASSUMED_SERVICE", 0.01)
    door = gate(1, QueueConfig(places=9, patience=0.02, gather=0))
    granted = await door.enter(call())
    with pytest.raises(Full):
        await door.enter(call())
    granted.leave()
    assert (door.in_flight, door.queued["low"]) == (0, 0)


async def test_a_caller_that_leaves_the_line_gives_its_turn_away() -> None:
    line = Line(gate(1))
    await line.ask("first", call())
    gone = await line.ask("gone", call())
    at_the_door = await line.ask("at the door", call())
    await line.ask("last", call())
    gone.cancel()
    await asyncio.sleep(0)
    # Let in and cancelled in the same moment: the place must not be lost.
    line.passes.pop().leave()
    at_the_door.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.order == ["first", "last"]
    await line.serve()
    assert line.door.in_flight == 0


async def test_a_caller_that_is_just_leaving_gets_no_place() -> None:
    line = Line(gate(1))
    await line.ask("first", call())
    gone = await line.ask("gone", call())
    await line.ask("last", call())
    # Cancelled, but not yet awake, when the place becomes free.
    gone.cancel()
    line.passes.pop().leave(answered=True)
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert line.order == ["first", "last"]
    await line.serve()
    assert (line.door.in_flight, line.door.queued["low"]) == (0, 0)


Step = tuple[str, int]


@given(
    st.integers(1, 6),
    st.sampled_from([2, 4, 100]),
    st.lists(
        st.tuples(
            st.sampled_from(["high", "medium", "low", "leave", "cancel", "age"]), st.integers(0, 30)
        ),
        max_size=60,
    ),
)
def test_places_are_neither_lost_nor_given_twice(
    limit: int, places: int, steps: list[Step]
) -> None:
    asyncio.run(churn(limit, places, steps))


async def churn(limit: int, places: int, steps: list[Step]) -> None:
    clock = ManualClock()
    line = Line(gate(limit, QueueConfig(places=places, patience=600, gather=0), clock=clock))
    for number, (what, which) in enumerate(steps):
        act(line, clock, what, which)
        for priority in PRIORITIES:
            if what == priority:
                await line.ask(str(number), call(priority, f"caller{which % 3}"))
        if which % 2:
            # What comes next comes before anybody has woken up.
            continue
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(line.passes) == line.door.in_flight <= limit
        assert max(line.door.queued.values()) <= places
        waiting = sum(line.door.queued.values())
        assert not waiting or line.door.in_flight >= max(1, limit - -(-limit // 4))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await line.serve()
    assert all(task.done() for task in line.tasks)
    assert (line.door.in_flight, sum(line.door.queued.values())) == (0, 0)


def act(line: Line, clock: ManualClock, what: str, which: int) -> None:
    if what == "leave" and line.passes:
        line.passes.pop(which % len(line.passes)).leave(answered=True)
    elif what == "cancel" and line.tasks:
        line.tasks[which % len(line.tasks)].cancel()
    elif what == "age":
        clock.advance(which)
