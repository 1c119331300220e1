from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.candidates import UNKNOWN_PACE
from agentcore.llm_gateway.pace import EVERY, KEPT, LEAST, PaceMeter


def test_nothing_seen_is_nothing_known() -> None:
    meter = PaceMeter()
    meter.wrote(0, 1.0)
    meter.wrote(5, 0.0)
    assert (meter.pace, meter.late(stream=True)) == (UNKNOWN_PACE, None)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=3 * KEPT))
def test_it_follows_what_it_sees(seconds: list[float]) -> None:
    meter = PaceMeter()
    for each in seconds:
        meter.began(each)
        meter.wrote(10, each)
    first, rate = meter.pace
    assert first is not None
    assert rate is not None
    assert min(seconds) <= first * (1 + 1e-9)
    assert first <= max(seconds) * (1 + 1e-9)
    assert 10 / max(seconds) <= rate * (1 + 1e-9)
    late = meter.late(stream=True)
    assert late is None if len(seconds) < LEAST else late in seconds[-KEPT:]


def test_late_is_what_few_exceed() -> None:
    meter = PaceMeter()
    for number in range(100):
        meter.began(1.0 if number % 20 else 9.0)
    assert meter.late(stream=True) == 1.0
    for _ in range(EVERY):
        meter.began(9.0)
    assert meter.late(stream=True) == 9.0


def test_answers_that_come_whole_are_told_from_beginnings() -> None:
    meter = PaceMeter()
    for _ in range(LEAST):
        meter.answered(5.0)
    assert (meter.late(stream=False), meter.late(stream=True)) == (5.0, None)
    assert meter.pace == UNKNOWN_PACE
