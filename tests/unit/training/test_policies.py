from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.policies import POLICIES, Score, play, score

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "environments.md"
SEEDS = range(1000, 1150)
ROW = re.compile(r"^\| `(\w+)` \|(.+)\|$", re.MULTILINE)


def documented() -> dict[str, dict[str, float]]:
    """The table of scores, measured over the seeds 0 to 999."""
    page = PAGE.read_text(encoding="utf-8")
    rows = {name: cells.split("|") for name, cells in ROW.findall(page) if name in BUNDLED}
    return {
        name: {
            policy: float(cell.partition("±")[0])
            for policy, cell in zip(("random", "naive", "reference"), cells, strict=True)
        }
        for name, cells in rows.items()
    }


@cache
def measured(name: str, policy: str) -> Score:
    return score(BUNDLED[name](), POLICIES[name].by_name()[policy], SEEDS)


def test_every_environment_has_its_scale() -> None:
    assert POLICIES.keys() == BUNDLED.keys() == documented().keys()


@pytest.mark.parametrize("policy", ["random", "naive", "reference"])
@pytest.mark.parametrize("name", BUNDLED)
def test_the_documented_scores_hold_on_other_seeds(name: str, policy: str) -> None:
    found = measured(name, policy)
    assert found.mean == pytest.approx(documented()[name][policy], abs=2 * found.margin)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_scale_is_wide(name: str) -> None:
    reference = measured(name, "reference")
    for weaker in (measured(name, "random"), measured(name, "naive")):
        assert weaker.mean + 3 * weaker.margin < reference.mean - 3 * reference.margin


@pytest.mark.parametrize("policy", ["random", "naive", "reference"])
@pytest.mark.parametrize("name", BUNDLED)
def test_a_policy_plays_a_seed_alike_every_time(name: str, policy: str) -> None:
    factory = POLICIES[name].by_name()[policy]
    first, second = (play(BUNDLED[name](), factory(7), 7) for _ in range(2))
    assert first == second


def test_scores_read_as_numbers() -> None:
    assert str(Score(1.234, 0.056, 10)) == "1.23 ± 0.06 over 10 episodes"
