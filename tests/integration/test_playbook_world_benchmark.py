"""The simulation does what it says, on a small scale."""

from __future__ import annotations

from benchmarks import playbook_world
from benchmarks.playbook_world import SETTINGS, World, lived, null, planted


def test_it_says_first_what_it_measures() -> None:
    assert (playbook_world.__doc__ or "").startswith("Measures machinery, not language models")


def test_the_same_task_has_the_same_luck() -> None:
    one, other = World(SETTINGS[0], 3), World(SETTINGS[0], 3)
    text = one.oracle().content
    assert text == other.oracle().content
    assert [one.plays("", 5, seed) for seed in range(50)] == [
        other.plays("", 5, seed) for seed in range(50)
    ]


async def test_a_run_learns_and_counts_what_the_gate_costs() -> None:
    gated = await lived(SETTINGS[0], "gated", 0, steps=100)
    assert gated.rollouts > 0
    assert gated.wrong == 0
    assert (await lived(SETTINGS[0], "ADD only", 0, steps=100)).bullets > gated.bullets


def test_planted_rules_are_taken_back() -> None:
    assert planted(SETTINGS[0], 1).evidence.worse.has_won()


def test_what_changes_nothing_is_not_promoted() -> None:
    assert not null(SETTINGS[0], 1, most=300).evidence.better.has_won()
