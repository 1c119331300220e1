from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.policies import (
    A2ANaivePolicy,
    A2ARandomPolicy,
    A2AReferencePolicy,
    Policy,
    Score,
    score,
    solution,
)

# The table of docs/reference/environments.md, measured over the seeds 0 to 999.
DOCUMENTED: dict[str, tuple[Callable[[int], Policy], float]] = {
    "random": (lambda seed: A2ARandomPolicy(Random(seed)), 1.78),
    "naive": (lambda seed: A2ANaivePolicy(), -3.82),
    "reference": (lambda seed: A2AReferencePolicy(), 20.02),
}
SEEDS = range(1000, 1150)


def measured(name: str) -> Score:
    return score(A2AProtocolTestEnv(), DOCUMENTED[name][0], SEEDS)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_scores_hold_on_other_seeds(name: str) -> None:
    found = measured(name)
    assert found.mean == pytest.approx(DOCUMENTED[name][1], abs=2 * found.margin)


def test_the_scale_is_wide() -> None:
    naive, reference = measured("naive"), measured("reference")
    assert naive.mean + naive.margin < 0
    assert reference.mean - reference.margin > 15


def test_a_policy_plays_a_seed_alike_every_time() -> None:
    assert measured("random") == measured("random")


def test_scores_read_as_numbers() -> None:
    assert str(Score(1.234, 0.056, 10)) == "1.23 ± 0.06 over 10 episodes"


def test_only_requests_have_solutions() -> None:
    with pytest.raises(ValueError, match="not a task request"):
        solution({"type": "discovery_response", "agents": []})
