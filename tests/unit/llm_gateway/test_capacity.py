from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.llm_gateway.capacity import FIRST_GUESS, HOLD_SECONDS, AdaptiveLimit, Start
from tests.fakes.clock import ManualClock

SIZE = 1000


class Server:
    """A batch of ``places`` and a line before it; somebody always asks for more than is let in."""

    def __init__(self, places: int, seed: int) -> None:
        self.clock = ManualClock()
        self.limit = AdaptiveLimit(self.clock)
        self._places = [0.0] * places
        self._random = Random(seed)
        self._events: list[tuple[float, int, bool, Start]] = []
        self._running = 0
        self._counter = count()

    def run(self, calls: int) -> list[int]:
        """The limit after each of so many calls."""
        limits: list[int] = []
        self._fill()
        while len(limits) < calls:
            moment, _, ended, start = heappop(self._events)
            self.clock.advance(max(0.0, moment - self.clock.monotonic()))
            if ended:
                self.limit.ended(start, begun=True, answered=True)
                self._running -= 1
                limits.append(self.limit.limit)
                self._fill()
            else:
                self.limit.began(start, size=SIZE)
        return limits

    def _fill(self) -> None:
        while self._running < self.limit.limit:
            self._running += 1
            start = self.limit.start(filled=self._running == self.limit.limit)
            free = max(heappop(self._places), self.clock.monotonic())
            done = free + self._random.uniform(0.5, 1.5)
            heappush(self._places, done)
            first = free + self._random.uniform(0.01, 0.03)
            heappush(self._events, (first, next(self._counter), False, start))
            heappush(self._events, (done, next(self._counter), True, start))


@given(st.integers(1, 64), st.integers(0, 1000))
@settings(max_examples=30)
def test_the_limit_of_a_server_is_found_and_kept(places: int, seed: int) -> None:
    limits = Server(places, seed).run(3000)[2000:]
    assert max(limits) <= places * 2 + 2
    assert 0.6 * places <= sum(limits) / len(limits) <= places * 1.5 + 1


def test_the_guess_stands_until_calls_fill_it() -> None:
    limit = AdaptiveLimit(ManualClock())
    for _ in range(100):
        limit.ended(limit.start(filled=False), begun=False, answered=True)
    assert limit.limit == FIRST_GUESS


def test_calls_of_one_limit_cut_it_once() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=16)
    first = limit.start(filled=False)
    limit.began(first, size=SIZE)
    starts = [limit.start(filled=True) for _ in range(16)]
    clock.advance(5)
    limit.ended(first, begun=True, answered=True)
    for start in starts:
        limit.began(start, size=SIZE)
        limit.ended(start, begun=True, answered=False)
    assert limit.limit == 12


def test_what_was_too_much_is_not_tried_again_soon() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    limit.overloaded(limit.start(filled=True))
    assert limit.limit == 4
    for _ in range(200):
        limit.ended(limit.start(filled=True), begun=False, answered=True)
    assert limit.limit == 7
    clock.advance(HOLD_SECONDS)
    for _ in range(20):
        limit.ended(limit.start(filled=True), begun=False, answered=True)
    assert limit.limit > 8


def test_one_late_call_is_chance() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    for seconds in [0.02, 0.02, 9.0, 0.02, 9.0, 0.02, 0.02]:
        start = limit.start(filled=False)
        clock.advance(seconds)
        limit.began(start, size=SIZE)
    assert limit.limit == 8


def test_late_beginnings_that_wait_for_nobody_prove_nothing() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    limit.began(limit.start(filled=False), size=SIZE)
    for _ in range(20):
        start = limit.start(filled=False)
        clock.advance(5)
        limit.began(start, size=SIZE)
    assert limit.limit == 8


def test_what_was_carried_at_once_is_not_doubted() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    carried = [limit.start(filled=True) for _ in range(7)]
    for start in carried:
        limit.began(start, size=SIZE)
    for _ in range(20):
        start = limit.start(filled=True)
        clock.advance(2)
        limit.ended(carried.pop(), begun=True, answered=True)
        limit.began(start, size=SIZE)
        carried.append(start)
    assert limit.limit == 7


def test_what_begins_in_time_raises_the_limit_before_it_ends() -> None:
    limit = AdaptiveLimit(ManualClock())
    limit.began(limit.start(filled=True), size=SIZE)
    assert limit.limit == FIRST_GUESS + 1


def test_who_begins_when_room_was_made_proves_none() -> None:
    limit = AdaptiveLimit(ManualClock())
    first = limit.start(filled=False)
    limit.began(first, size=SIZE)
    second = limit.start(filled=True)
    limit.ended(first, begun=True, answered=True)
    limit.began(second, size=SIZE)
    limit.ended(second, begun=True, answered=True)
    assert limit.limit == FIRST_GUESS


def test_a_stream_raises_the_limit_once() -> None:
    limit = AdaptiveLimit(ManualClock())
    start = limit.start(filled=True)
    limit.began(start, size=SIZE)
    limit.ended(start, begun=True, answered=True)
    assert limit.limit == FIRST_GUESS + 1


def test_the_first_late_one_of_more_than_ever_cuts_to_what_is_carried() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=7)
    carried = [limit.start(filled=False) for _ in range(4)]
    for start in carried:
        limit.began(start, size=SIZE)
    fifth = limit.start(filled=True)
    clock.advance(1)
    limit.ended(carried.pop(), begun=True, answered=True)
    limit.began(fifth, size=SIZE)
    assert limit.limit == 4
    for _ in range(20):
        start = limit.start(filled=True)
        limit.began(start, size=SIZE)
        limit.ended(start, begun=True, answered=True)
    assert limit.limit == 4


def test_long_prompts_are_compared_with_long_ones() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    for size, seconds in [(100, 0.02), (100_000, 3.0), (100, 0.02), (100_000, 3.1)]:
        start = limit.start(filled=False)
        clock.advance(seconds)
        limit.began(start, size=size)
    assert limit.limit == 8


def test_whole_answers_are_compared_with_those_of_their_length() -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock, first=8)
    for tokens, seconds in [(10, 0.5), (1000, 20.0), (10, 0.6), (1000, 30.0)]:
        start = limit.start(filled=False)
        clock.advance(seconds)
        limit.answered(start, tokens=tokens)
    assert limit.limit == 8
    starts = [limit.start(filled=True) for _ in range(4)]
    clock.advance(5)
    limit.ended(limit.start(filled=False), begun=False, answered=True)
    for start in starts:
        limit.answered(start, tokens=10)
    assert limit.limit == 6


def test_the_server_s_own_figure_bounds_and_begins() -> None:
    limit = AdaptiveLimit(ManualClock())
    limit.told(2)
    assert limit.limit == 2
    for _ in range(10):
        limit.ended(limit.start(filled=True), begun=False, answered=True)
    assert limit.limit == 2
    limit.told(None)
    for _ in range(10):
        limit.ended(limit.start(filled=True), begun=False, answered=True)
    assert limit.limit > 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["began", "ended", "overloaded", "told"]), st.floats(0, 30)),
        max_size=200,
    )
)
def test_whatever_happens_somebody_may_start(events: list[tuple[str, float]]) -> None:
    clock = ManualClock()
    limit = AdaptiveLimit(clock)
    for kind, seconds in events:
        start = limit.start(filled=True)
        clock.advance(seconds)
        if kind == "began":
            limit.began(start, size=SIZE)
        elif kind == "ended":
            limit.ended(start, begun=False, answered=True)
        elif kind == "overloaded":
            limit.overloaded(start)
        else:
            limit.told(int(seconds) + 1)
        assert limit.limit >= 1
