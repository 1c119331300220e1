"""The simulation does what it says, on a small scale."""

from __future__ import annotations

import pytest

from benchmarks import playbook_hidden, playbook_world
from benchmarks.measured import Measured
from benchmarks.playbook_hidden import CHOSEN, SETTINGS, TOPICS, Reader, World
from benchmarks.playbook_world import lived, null, null_pairs, offered, planted


def test_it_says_first_what_it_measures() -> None:
    assert (playbook_world.__doc__ or "").startswith("Measures machinery, not language models")


def test_the_same_task_has_the_same_topic_and_luck() -> None:
    one, other = World(SETTINGS[0], 3), World(SETTINGS[0], 3)
    assert one.oracle().content == other.oracle().content
    mine, theirs = Reader(one, one.oracle()), Reader(other, other.oracle())
    assert [mine.plays(task) for task in range(50)] == [theirs.plays(task) for task in range(50)]
    assert [one.topic_of(one.task_about(topic, 7)) for topic in range(TOPICS)] == [*range(TOPICS)]
    assert one.topic_of(5) == other.topic_of(5) < TOPICS <= CHOSEN


def test_rules_are_followed_right_or_wrong_and_lines_dilute() -> None:
    world = World(SETTINGS[0], 3)
    right, wrong = world.rule(4).text, world.rule(4, wrong=True).text
    assert world.rate([], 4) == playbook_hidden.NONE
    assert world.rate([right], 4) > 0.9
    assert world.rate([right, wrong], 4) < 0.6
    assert world.rate([wrong], 4) < 0.1
    assert world.rate([right] + [""] * 399, 4) == pytest.approx(playbook_hidden.RIGHT / 2)
    assert (world.is_wrong(right), world.is_wrong(wrong)) == (False, True)


async def test_a_run_learns_and_counts_what_the_gate_costs() -> None:
    gated = await lived(SETTINGS[0], "gated", 0, steps=50)
    assert gated.rollouts > 0
    assert (gated.wrong, gated.collapses) == (0, 0)
    assert (await lived(SETTINGS[0], "ADD only", 0, steps=50)).bullets > gated.bullets


def test_planted_rules_are_taken_back_and_offered_ones_refused() -> None:
    assert planted(SETTINGS[0], 1).evidence.worse.has_won()
    assert offered(SETTINGS[0], 1).evidence.worse.has_won()


async def test_what_changes_nothing_is_not_promoted() -> None:
    assert not null(SETTINGS[0], 1, most=300).evidence.better.has_won()
    assert not await null_pairs(SETTINGS[0], 1)


def test_goals_are_told_with_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    told = [str(one) for one in playbook_world.policies(SETTINGS[:1], range(1), 10)]
    assert told[0].startswith("final success with the gate")
    assert all(line.endswith(("kept", "MISSED")) for line in told)
    assert "goal at least 0.85" in told[0]
    assert "gated" in capsys.readouterr().out


def test_a_goal_may_be_a_lower_bound() -> None:
    assert [Measured("x", value, "%", 5).kept for value in (4, 5, 6)] == [True, True, False]
    assert [Measured("x", value, "%", 5, True).kept for value in (4, 5, 6)] == [False, True, True]
    assert Measured("x", 7, "%").kept
