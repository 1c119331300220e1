from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.calibration import HONEST, Calibration, Outcome, Proposed, outcomes
from agentcore.ace.content import Bullet
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.unit.ace import strategies

BOASTER = [Outcome(0.9, good=n % 5 == 0) for n in range(40)]


def bullet(name: str, helpful: int, harmful: int, **more: object) -> Bullet:
    given = {"id": name, "text": "x", "helpful": helpful, "harmful": harmful}
    return Bullet.model_validate(given | more)


def test_without_outcomes_confidence_is_what_was_claimed() -> None:
    assert [HONEST(claimed) for claimed in (0.0, 0.69, 0.7, 1.0)] == [0.0, 0.69, 0.7, 1.0]


def test_a_model_that_boasts_is_believed_less() -> None:
    known = Calibration(BOASTER)
    assert known(0.9) < 0.5
    assert known(0.2) == pytest.approx(0.2, abs=0.05)


def test_a_model_that_is_right_is_believed_more() -> None:
    known = Calibration([Outcome(0.6, good=True)] * 40)
    assert known(0.6) > 0.85


def test_one_failure_changes_little() -> None:
    assert Calibration([Outcome(0.8, good=False)])(0.8) > 0.7


@strategies.unhurried
@given(st.lists(st.builds(Outcome, st.floats(0, 1), good=st.booleans()), max_size=60))
def test_the_curve_never_falls_and_stays_a_share(given_outcomes: list[Outcome]) -> None:
    known = Calibration(given_outcomes)
    curve = [known(step / 50) for step in range(51)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(curve))
    assert all(-1e-9 <= height <= 1 + 1e-9 for height in curve)


def test_outcomes_are_what_became_of_the_bullets() -> None:
    bullets = {
        one.id: one
        for one in (
            bullet("b1", 40, 10),
            bullet("b2", 2, 18),
            bullet("b3", 1, 1),
            bullet("b4", 9, 0, status="retired"),
        )
    }
    proposed = [
        Proposed(confidence=0.81, bullets=("b1",)),
        Proposed(confidence=0.82, bullets=("b2",)),
        Proposed(confidence=0.83, bullets=("b3",)),
        Proposed(confidence=0.84, bullets=("b4",)),
        Proposed(confidence=0.85, bullets=("b5",)),
        Proposed(confidence=0.86, bullets=("b6",)),
        Proposed(confidence=0.87, absorbed=("b6",)),
        Proposed(confidence=0.88, bullets=("b1",), refused=True),
    ]
    assert [(one.confidence, one.good) for one in outcomes(proposed, bullets)] == [
        (0.81, True),
        (0.82, False),
        (0.84, False),
        (0.85, False),
        (0.88, False),
    ]


def test_a_row_of_the_log_tells_what_was_added_and_merged() -> None:
    inverse: list[JsonValue] = [{"op": "REMOVE", "id": "b7"}, {"op": "RESERVE", "next_id": 7}]
    merge: JsonObject = {"op": "MERGE", "ids": ["b1", "b2", "b3"]}
    assert Proposed.read(0.9, [{"op": "ADD"}, merge], inverse, "worse") == Proposed(
        confidence=0.9, bullets=("b7",), absorbed=("b2", "b3"), refused=True
    )
