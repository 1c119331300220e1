from __future__ import annotations

from statistics import fmean

from agentcore.simulators.dice import Dice


def test_equal_situations_roll_equal_dice() -> None:
    assert Dice(1, b"x").chance("slip") == Dice(1, b"x").chance("slip")


def test_seed_situation_and_name_each_matter() -> None:
    rolls = [Dice(1, b"x").number("a"), Dice(2, b"x").number("a"), Dice(1, b"y").number("a")]
    assert len({*rolls, Dice(1, b"x").number("b")}) == 4


def test_chances_are_even() -> None:
    chances = [Dice(-1, str(n).encode()).chance("slip") for n in range(2000)]
    assert 0 <= min(chances) < max(chances) < 1
    assert 0.48 < fmean(chances) < 0.52
