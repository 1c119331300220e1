from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.errors import InvalidInput
from agentcore.training.evaluation import (
    benchmark,
    compare,
    evaluate,
    leaderboard,
    reaching,
    told_success,
)
from agentcore.training.models import Episode, EpisodeFailure, EvaluationReport, RolloutResult
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.playing import local_sessions

PLAYERS = POLICIES["guess_number"]
GUESSING = local_sessions(GuessNumber)
LOST = EpisodeFailure("step", "session_lost", "gone")


def episode(index: int, *rewards: float, **more: object) -> Episode:
    values = {"index": index, "seed": index, "rewards": rewards, "terminated": True, **more}
    return Episode(**values)  # type: ignore[arg-type]  # a table of fields


def report(name: str, *totals: float | None) -> EvaluationReport:
    episodes = [
        episode(index, total) if total is not None else episode(index, failure=LOST)
        for index, total in enumerate(totals)
    ]
    return evaluate(RolloutResult(tuple(episodes), 1.0), policy=name)


def test_a_report_tells_completed_from_failed() -> None:
    played = RolloutResult(
        (
            episode(0, 1.0, 2.0, step_seconds=(0.1, 0.3), info={"success": True}),
            episode(1, 5.0, failure=LOST, step_seconds=(9.0,)),
            episode(2, 1.0, step_seconds=(0.2,), info={"success": False}),
        ),
        4.0,
    )
    found = evaluate(played, policy="p", environment="e")
    assert found.rewards == (3.0, None, 1.0)
    assert (found.mean, found.mean_length, found.steps) == (2.0, 1.5, 4)
    assert (found.step_p50, found.step_p95) == (0.2, pytest.approx(0.29))
    assert (found.episodes, found.failed, found.failures) == (3, 1, {"session_lost": 1})
    assert found.success is not None
    assert found.success.mean == pytest.approx(1 / 3), "a failed episode is no success"


def test_success_is_not_invented() -> None:
    assert report("p", 1.0, 2.0).success is None
    assert told_success(episode(0, info={"is_success": True})) is True
    assert told_success(episode(0, info={"success": "yes"})) is None
    played = RolloutResult((episode(0, 1.0), episode(1, 3.0)), 1.0)
    found = evaluate(played, success=reaching(2.0)).success
    assert found is not None
    assert found.mean == 0.5


def test_where_everything_failed_nothing_is_known() -> None:
    found = report("p", None, None)
    assert (found.mean, found.interval, found.step_p50, found.mean_length) == (None,) * 4
    assert found.failed == 2


async def test_policies_are_told_apart_on_the_same_seeds() -> None:
    reports = [
        await benchmark(player, GUESSING, 40, seeds=5, titles=(name, "guess_number"))
        for name, player in PLAYERS.by_name().items()
    ]
    random, _, reference = reports
    found = compare(reference, random)
    assert found.pairs == 40
    assert found.interval is not None
    assert found.difference > 0
    assert found.interval.low > 0
    assert found.tests.permutation_p < 0.001
    back = compare(random, reference)
    assert back.difference == -found.difference
    assert back.tests.permutation_p == found.tests.permutation_p
    standings = leaderboard(reports)
    assert standings[0].policy == "reference"
    assert standings[-1].policy == "random"
    assert (standings[0].rank, standings[-1].rank) == (1, 3)


def test_pairs_are_the_seeds_that_both_completed() -> None:
    found = compare(report("a", 1.0, None, 3.0, 4.0), report("b", 0.0, 5.0, 3.0, None))
    assert (found.pairs, found.difference) == (2, 0.5)
    assert (found.tests.wins, found.tests.losses, found.tests.ties) == (1, 0, 1)
    with pytest.raises(InvalidInput, match="no seed in common"):
        compare(report("a", None), report("b", 1.0))


def test_overlap_is_a_tie_and_said_by_name() -> None:
    random = Random(1)
    low = [random.gauss(0, 1) for _ in range(30)]
    close = [value + 0.1 for value in low]
    far = [value + 10 for value in low]
    first, second, third = leaderboard(
        [report("low", *low), report("far", *far), report("close", *close)]
    )
    assert [(each.policy, each.rank) for each in (first, second, third)] == [
        ("far", 1),
        ("close", 2),
        ("low", 2),
    ]
    assert (first.tied_with, second.tied_with, third.tied_with) == ((), ("low",), ("close",))


def test_who_has_no_interval_is_tied_with_everybody() -> None:
    board = leaderboard([report("known", 1.0, 1.5, 2.0), report("none", None)])
    assert [(each.policy, each.rank, each.tied_with) for each in board] == [
        ("known", 1, ("none",)),
        ("none", 1, ("known",)),
    ]


@settings(max_examples=20, deadline=None)
@given(
    totals=st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=6), min_size=1, max_size=5),
    random=st.randoms(use_true_random=False),
)
def test_a_leaderboard_does_not_depend_on_the_order(
    totals: list[list[float]], random: Random
) -> None:
    reports = [report(f"p{number}", *each) for number, each in enumerate(totals)]
    board = leaderboard(reports)
    assert board == leaderboard(random.sample(reports, len(reports)))
    assert [each.mean for each in board] == sorted(
        (each.mean for each in board if each.mean is not None), reverse=True
    )
    assert board[0].rank == 1


@settings(max_examples=20, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=8),
    random=st.randoms(use_true_random=False),
)
def test_a_comparison_does_not_depend_on_the_order(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    mixed = random.sample(pairs, len(pairs))

    def against(drawn: list[tuple[int, int]]) -> tuple[object, ...]:
        left, right = (report("x", *(float(pair[side]) for pair in drawn)) for side in (0, 1))
        found = compare(left, right)
        return found.difference, found.interval, found.tests

    assert against(pairs) == against(mixed)


def test_the_first_failure_of_each_kind_says_why() -> None:
    wrong = EpisodeFailure("reset", "openenv_reset_failed", "licence missing", "buy one")
    faults = [LOST, EpisodeFailure("step", "session_lost", "gone again"), wrong]
    episodes = tuple(episode(index, failure=fault) for index, fault in enumerate(faults))
    told = evaluate(RolloutResult(episodes, 1.0), policy="p")
    assert told.failures == {"session_lost": 2, "openenv_reset_failed": 1}
    assert told.reasons == {"session_lost": "gone", "openenv_reset_failed": "licence missing"}
    assert told.hints == {"openenv_reset_failed": "buy one"}


def test_a_seed_that_was_played_twice_makes_two_pairs() -> None:
    def repeated(name: str, *totals: float) -> EvaluationReport:
        played = [episode(place, total, seed=7) for place, total in enumerate(totals)]
        return evaluate(RolloutResult(tuple(played), 1.0), policy=name)

    found = compare(repeated("a", 1.0, 2.0, 9.0), repeated("b", 0.0, 5.0))
    assert (found.pairs, found.difference) == (2, -1.0)
    assert (found.tests.wins, found.tests.losses) == (1, 1)
