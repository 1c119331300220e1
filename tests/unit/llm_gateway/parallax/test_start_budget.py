from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.admission import NO_QUEUE, FixedLimit, Full, Gate
from agentcore.llm_gateway.capacity import AdaptiveLimit, Start
from agentcore.llm_gateway.models import LLMRequest, QueueConfig
from agentcore.llm_gateway.parallax.start_budget import (
    HALF_LIFE_SECONDS,
    PERIOD_SECONDS,
    StartBudget,
)
from tests.fakes.clock import ManualClock

HELLO = LLMRequest(model="m", messages=[{"role": "user", "content": "Hello"}]).call()
QUICK = 0.1
HEARTBEAT = 10.0


class Scheduler:
    """Counts starts, never ends; a heartbeat every ten seconds sets the count right."""

    def __init__(self, clock: ManualClock, most: int = 4) -> None:
        self._clock, self._most = clock, most
        self._beat, self._count = 0, 0
        self.running = 0
        self.late = 0

    def delay(self) -> float:
        """Take a start now; seconds until the call begins."""
        now = self._clock.monotonic()
        if int(now // HEARTBEAT) != self._beat:
            self._beat, self._count = int(now // HEARTBEAT), self.running
        if self._count < self._most:
            self._count += 1
            return QUICK
        self.late += 1
        return (self._beat + 1) * HEARTBEAT - now + QUICK


def budgeted(clock: ManualClock, told: int | None = 4) -> StartBudget:
    budget = StartBudget(AdaptiveLimit(clock), clock)
    budget.told(told)
    return budget


def one_call(budget: StartBudget, clock: ManualClock, seconds: float) -> Start:
    start = budget.start(filled=False)
    clock.advance(seconds)
    budget.began(start, size=100)
    budget.ended(start, begun=True, answered=True)
    return start


def learned(clock: ManualClock) -> StartBudget:
    budget = budgeted(clock)
    for seconds in (QUICK, QUICK, QUICK, QUICK, 11.0):
        one_call(budget, clock, seconds)
    clock.advance(PERIOD_SECONDS)
    return budget


def test_nothing_is_known_before_a_start_was_late(clock: ManualClock) -> None:
    budget = budgeted(clock)
    for _ in range(40):
        one_call(budget, clock, QUICK)
    assert budget.starts is None
    assert budget.limit == 4
    assert budget.source == "reported"


def test_a_late_start_after_the_last_of_the_budget_shows_it(clock: ManualClock) -> None:
    budget = learned(clock)
    assert budget.starts is not None
    assert budget.starts.size == 4
    assert budget.starts.confidence == pytest.approx(0.5, abs=0.02)
    assert budget.limit == 4


def test_the_budget_is_spent_by_calls_that_have_ended_too(clock: ManualClock) -> None:
    budget = learned(clock)
    clock.advance(PERIOD_SECONDS)
    lefts = []
    for _ in range(4):
        one_call(budget, clock, QUICK)
        assert budget.starts is not None
        lefts.append(budget.starts.tokens)
    assert lefts == [3, 2, 1, 0]
    assert budget.limit == 0
    assert budget.source == "learned"
    assert budget.starts is not None
    assert budget.starts.pause == pytest.approx(PERIOD_SECONDS - 3 * QUICK)
    clock.advance(budget.starts.pause + 0.01)
    assert budget.limit == 1


def test_a_late_start_with_places_left_to_start_proves_nothing(clock: ManualClock) -> None:
    budget = budgeted(clock)
    one_call(budget, clock, QUICK)
    one_call(budget, clock, 11.0)
    assert budget.starts is None


def test_a_slow_model_is_no_late_start(clock: ManualClock) -> None:
    budget = budgeted(clock, told=1)
    for seconds in (3.0, 3.0, 9.0):
        one_call(budget, clock, seconds)
    assert budget.starts is None


def test_what_was_late_for_want_of_a_start_does_not_cost_places(clock: ManualClock) -> None:
    inner = AdaptiveLimit(clock)
    budget = StartBudget(inner, clock)
    budget.told(4)
    for _ in range(10):
        for seconds in (QUICK, QUICK, QUICK, QUICK, 11.0):
            one_call(budget, clock, seconds)
    assert inner.limit == 4


def test_a_refusal_when_the_budget_is_spent_is_one_more_sign(clock: ManualClock) -> None:
    inner = AdaptiveLimit(clock)
    budget = StartBudget(inner, clock)
    budget.told(4)
    for _ in range(4):
        one_call(budget, clock, QUICK)
    start = budget.start(filled=False)
    budget.overloaded(start)
    assert budget.starts is not None
    assert inner.limit == 4
    other = StartBudget(inner, clock)
    other.overloaded(other.start(filled=False))
    assert inner.limit == 2


def test_it_is_forgotten(clock: ManualClock) -> None:
    budget = learned(clock)
    clock.advance(HALF_LIFE_SECONDS + 1)
    assert budget.starts is None
    assert budget.limit == 4


def test_more_signs_last_longer(clock: ManualClock) -> None:
    budget = learned(clock)
    for _ in range(4):
        one_call(budget, clock, QUICK)
    one_call(budget, clock, 11.0)
    clock.advance(HALF_LIFE_SECONDS + 1)
    assert budget.starts is not None


def test_a_smaller_report_counts_at_once(clock: ManualClock) -> None:
    budget = learned(clock)
    budget.told(2)
    assert budget.starts is not None
    assert budget.starts.size == 2


def test_without_places_the_starts_still_bound(clock: ManualClock) -> None:
    budget = StartBudget(FixedLimit(None, clock), clock)
    assert budget.limit is None
    for seconds in (QUICK, QUICK, 11.0):
        one_call(budget, clock, seconds)
    assert budget.starts is not None
    assert budget.starts.size == 2
    clock.advance(PERIOD_SECONDS)
    assert budget.limit == 2


def test_calls_in_a_row_are_late_once_and_then_never_again(clock: ManualClock) -> None:
    scheduler, budget = Scheduler(clock), budgeted(clock)
    for _ in range(60):
        while not budget.limit:
            clock.advance(0.5)
        one_call(budget, clock, scheduler.delay())
    assert scheduler.late == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.05, 30)), min_size=1, max_size=60))
def test_once_learned_no_start_is_late(calls: list[tuple[float, float]]) -> None:
    """Whatever the calls' lengths and pauses: what the budget lets in the scheduler starts."""
    clock = ManualClock()
    budget, scheduler = learned(clock), Scheduler(clock)
    clock.advance(2 * HEARTBEAT - clock.monotonic() % HEARTBEAT)
    ends: list[tuple[float, Start]] = []
    for pause, length in calls:
        clock.advance(pause)
        now = clock.monotonic()
        for end, start in [each for each in ends if each[0] <= now]:
            ends.remove((end, start))
            scheduler.running -= 1
            budget.ended(start, begun=False, answered=True)
        if len(ends) < (budget.limit or 0):
            ends.append((now + length, budget.start(filled=False)))
            assert scheduler.delay() == QUICK or budget.starts is None
            scheduler.running += 1


async def test_the_gate_lets_nobody_in_without_a_start(clock: ManualClock) -> None:
    queue = QueueConfig(places=8, patience=30)
    gate = Gate(learned(clock), clock, queue)
    clock.advance(PERIOD_SECONDS)
    for _ in range(4):
        (await gate.enter(HELLO)).leave(answered=True)
    assert not gate.free("medium")
    assert gate.wait("medium") >= PERIOD_SECONDS
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.enter(HELLO))
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(PERIOD_SECONDS + 1)
        # Every report of the cluster's status is a moment to look again.
        gate.told(4)
        (await waiting).leave()


async def test_a_closed_gate_lets_nobody_in(clock: ManualClock) -> None:
    gate = Gate(FixedLimit(None, clock), clock, NO_QUEUE)
    gate.close()
    with pytest.raises(Full):
        await gate.enter(HELLO)
    gate.open()
    (await gate.enter(HELLO)).leave()
