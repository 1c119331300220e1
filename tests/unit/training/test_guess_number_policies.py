from __future__ import annotations

import pytest

from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.examples.guess_number_policies import HalvingPolicy
from agentcore.training.openenv.environments.policies import play


@pytest.mark.parametrize("seed", range(50))
def test_halving_never_needs_more_than_seven_guesses(seed: int) -> None:
    game = GuessNumber()
    assert play(game, HalvingPolicy(), seed) >= 1.0 - 0.1 * 6 - 1e-9
    assert game.state.made <= 7
