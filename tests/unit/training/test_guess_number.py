from __future__ import annotations

from pathlib import Path

import pytest

from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.examples import guess_number
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber


def test_the_tutorial_is_forty_lines_of_code_with_comments() -> None:
    lines = Path(guess_number.__file__).read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert len(code) <= 40
    assert sum(line.lstrip().startswith("#") for line in lines) >= 5


def halving(game: GuessNumber) -> list[Step]:
    low, high = 1, 100
    steps: list[Step] = []
    while not (steps and steps[-1].terminated):
        middle = (low + high) // 2
        steps.append(game.step({"type": "guess", "parameters": {"number": middle}}))
        low, high = (
            (middle + 1, high) if steps[-1].observation["hint"] == "low" else (low, middle - 1)
        )
    return steps


@pytest.mark.parametrize("seed", range(20))
def test_halving_finds_every_number_within_seven_guesses(seed: int) -> None:
    game = GuessNumber()
    game.reset(seed)
    steps = halving(game)
    assert len(steps) <= 7
    assert steps[-1].reward == 1.0
    assert game.visible_state()["made"] == len(steps)


def test_the_number_is_not_in_the_state() -> None:
    game = GuessNumber()
    game.reset(1)
    assert game.visible_state() == {"episode_id": None, "step_count": 0, "made": 0}


def test_ten_wrong_guesses_are_truncated() -> None:
    game = GuessNumber()
    for seed in range(2):
        game.reset(seed)
        steps = [game.step({"type": "guess", "parameters": {"number": 1}}) for _ in range(10)]
        assert steps[-1].truncated
        assert not steps[-1].terminated
