from __future__ import annotations

from itertools import product
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.training.estimates import mean_interval, paired_tests, quantile, share_interval

# Differences in height of Darwin's 15 pairs of plants, in eighths of an inch (Fisher 1935, § 21).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
VALUES = st.floats(-1000, 1000, allow_subnormal=False).map(lambda value: round(value, 3))


def test_the_exact_permutation_test_is_fishers() -> None:
    # Fisher counts 863 of the 2^15 sign patterns at either end.
    found = paired_tests([float(each) for each in DARWIN])
    assert found.permutation_p == pytest.approx(2 * 863 / 2**15)
    assert (found.wins, found.losses, found.ties, found.exact) == (13, 2, 0, True)


def test_the_sign_test_is_the_binomial() -> None:
    assert paired_tests([1.0] * 8 + [-1.0] * 2).sign_p == pytest.approx(0.109375)
    assert paired_tests([2.0] * 10 + [0.0]).sign_p == pytest.approx(2 / 2**10)
    assert paired_tests([0.0, 0.0]).sign_p == 1.0
    assert paired_tests([]).permutation_p == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5).map(lambda tenths: tenths / 10), max_size=9))
def test_counting_by_halves_counts_all_patterns(differences: list[float]) -> None:
    kept = [each for each in differences if each != 0]
    observed = abs(sum(kept)) - 1e-9
    patterns = [
        abs(sum(sign * each for sign, each in zip(signs, kept, strict=True))) >= observed
        for signs in product((1, -1), repeat=len(kept))
    ]
    assert paired_tests(differences).permutation_p == pytest.approx(fmean(patterns))


def test_drawing_comes_close_to_counting() -> None:
    random = Random(3)
    many = [random.gauss(0.2, 1) for _ in range(30)]
    counted = paired_tests(many).permutation_p
    drawn = paired_tests([*many, 1e-12, -1e-12])
    assert not drawn.exact
    assert drawn.permutation_p == pytest.approx(counted, abs=0.02)
    assert paired_tests([1.0] * 40).permutation_p == pytest.approx(1 / 10_001)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(VALUES, min_size=2, max_size=30), random=st.randoms(use_true_random=False))
def test_estimates_do_not_depend_on_the_order(values: list[float], random: Random) -> None:
    shuffled = random.sample(values, len(values))
    assert mean_interval(values, resamples=50) == mean_interval(shuffled, resamples=50)
    assert paired_tests(values) == paired_tests(shuffled)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(VALUES, min_size=2, max_size=30), shift=st.integers(-50, 50))
def test_intervals_follow_their_data(values: list[float], shift: int) -> None:
    here = mean_interval(values, resamples=50)
    there = mean_interval([value + shift for value in values], resamples=50)
    assert here is not None
    assert there is not None
    assert min(values) - 1e-9 <= here.low <= here.high <= max(values) + 1e-9
    assert there.mean == pytest.approx(here.mean + shift, abs=1e-6)


def test_a_wider_confidence_is_a_wider_interval() -> None:
    random = Random(5)
    values = [random.expovariate(1) for _ in range(40)]
    narrow, wide = mean_interval(values, confidence=0.5), mean_interval(values, confidence=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random, covered, below = Random(11), 0, 0
    for trial in range(300):
        sample = [random.expovariate(1.0) for _ in range(40)]
        found = mean_interval(sample, resamples=400, seed=trial)
        assert found is not None
        covered += found.low <= 1.0 <= found.high
        below += found.high < 1.0
    # 300 trials of a 95 % interval: within four standard errors, less what a skewed n = 40 costs.
    assert 0.89 <= covered / 300 <= 0.98
    assert below / 300 <= 0.075, "a symmetric interval misses on this side most of the time"


def test_what_has_no_spread_has_no_invented_interval() -> None:
    assert mean_interval([]) is None
    assert mean_interval([1.0]) is None
    same = mean_interval([2.5, 2.5, 2.5])
    assert same is not None
    assert (same.low, same.mean, same.high) == (2.5, 2.5, 2.5)


def test_tiny_and_lopsided_samples_have_an_interval() -> None:
    for values in ([0.0, 0.0, 2.5e-151], [0.0] * 99 + [1e9], [1.0, 1.0 + 1e-16, 2.0]):
        for confidence in (0.95, 0.999999):
            found = mean_interval(values, confidence=confidence)
            assert found is not None
            assert min(values) <= found.low <= found.high <= max(values)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [float(number % 7) for number in range(50)]
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_shares_have_wilsons_interval() -> None:
    found = share_interval(8, 10)
    assert found.low == pytest.approx(0.4901625, abs=1e-6)
    assert found.high == pytest.approx(0.9433178, abs=1e-6)
    nothing, everything = share_interval(0, 10), share_interval(10, 10)
    assert (nothing.low, nothing.mean) == (0.0, 0.0)
    assert nothing.high == pytest.approx(0.2775328, abs=1e-6)
    assert (everything.mean, everything.high) == (1.0, 1.0)


def test_quantiles_lie_between_neighbours() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.95) == pytest.approx(3.85)
    assert quantile([7.0], 0.2) == 7.0
    assert (quantile([1.0, 2.0], -1), quantile([1.0, 2.0], 2)) == (1.0, 2.0)
    with pytest.raises(ValueError, match="no quantile"):
        quantile([], 0.5)
