"""What samples say about what they were drawn from. Pure: the same input, the same answer.

Intervals are bootstrap intervals, bias-corrected and accelerated (BCa; Efron 1987): rewards of
episodes are skewed and bounded, so a symmetric interval would promise the impossible. P-values are
exact where all outcomes can be counted.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from random import Random
from statistics import NormalDist, fmean

from agentcore.training.models import Interval, PairedTests

RESAMPLES = 2000
CONFIDENCE = 0.95
# 2^15 sums on either side: a twentieth of a second.
MOST_COUNTED = 30
SHUFFLES = 10_000
NORMAL = NormalDist()


def mean_interval(
    values: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The mean and its BCa interval; None of nothing, and no width where nothing varies.

    The order of ``values`` does not matter. One value says nothing of its spread: its interval is
    None as well.
    """
    if len(values) < 2:
        return None
    ordered = sorted(values)
    mean = fmean(ordered)
    if ordered[0] == ordered[-1]:
        return Interval(mean=mean, low=mean, high=mean, confidence=confidence)
    random = Random(seed)
    size = len(ordered)
    means = sorted(fmean(random.choices(ordered, k=size)) for _ in range(resamples))
    low, high = _adjusted(ordered, mean, means, confidence)
    return Interval(
        mean=mean, low=quantile(means, low), high=quantile(means, high), confidence=confidence
    )


def _adjusted(
    values: Sequence[float], mean: float, means: Sequence[float], confidence: float
) -> tuple[float, float]:
    """The levels of the bootstrap distribution between which the interval lies."""
    tail = (1 - confidence) / 2
    share = (bisect_left(means, mean) + bisect_right(means, mean)) / (2 * len(means))
    if not 0 < share < 1:
        return tail, 1 - tail
    bias, skew = NORMAL.inv_cdf(share), _acceleration(values, mean)

    def level(probability: float) -> float:
        shifted = bias + NORMAL.inv_cdf(probability)
        slope = 1 - skew * shifted
        # Beyond its pole the formula means the end of the distribution.
        return NORMAL.cdf(bias + shifted / slope) if slope > 0 else float(shifted > 0)

    return level(tail), level(1 - tail)


def _acceleration(values: Sequence[float], mean: float) -> float:
    """From the jackknife; for a mean its terms are the deviations themselves, scaled."""
    deviations = [value - mean for value in values]
    # Scaled to 1 first: the cubes of tiny numbers would vanish.
    largest = max(abs(each) for each in deviations)
    deviations = [each / largest for each in deviations]
    squares = math.fsum(each * each for each in deviations)
    cubes = math.fsum(each**3 for each in deviations)
    return cubes / float(6 * squares**1.5)


def quantile(ordered: Sequence[float], level: float) -> float:
    """Of sorted values, between neighbours by straight lines."""
    if not ordered:
        raise ValueError("nothing has no quantile")
    place = min(max(level, 0.0), 1.0) * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def share_interval(successes: int, total: int, *, confidence: float = CONFIDENCE) -> Interval:
    """A share and its Wilson interval, which stays within 0 and 1 and has width at both ends."""
    z = NORMAL.inv_cdf((1 + confidence) / 2)
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    half /= 1 + z * z / total
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(mean=share, low=min(low, share), high=max(high, share), confidence=confidence)


def paired_tests(differences: Sequence[float], *, seed: int = 0) -> PairedTests:
    """Two-sided p-values of the hypothesis that neither of a pair is better.

    ``sign_p`` asks only who won each pair; ``permutation_p`` how often signs thrown at random
    would give a mean as far from 0. The latter is exact up to 30 pairs that differ, and drawn
    (seeded, with the observed outcome counted) beyond.
    """
    differing = sorted(each for each in differences if each != 0)
    wins = sum(each > 0 for each in differing)
    losses = len(differing) - wins
    exact = len(differing) <= MOST_COUNTED
    return PairedTests(
        wins=wins,
        losses=losses,
        ties=len(differences) - len(differing),
        sign_p=_sign_p(wins, losses),
        permutation_p=_counted(differing) if exact else _drawn(differing, Random(seed)),
        exact=exact,
    )


def _sign_p(wins: int, losses: int) -> float:
    total, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return min(1.0, tail / 2.0 ** (total - 1))


def _counted(differences: Sequence[float]) -> float:
    """The share of all sign patterns whose sum is as far from 0, counted by two halves."""
    observed, slack = abs(math.fsum(differences)), _slack(differences)
    if observed <= slack:
        return 1.0
    # Alternating, for the halves of a sorted list would differ in scale.
    left, right = _sums(differences[::2]), sorted(_sums(differences[1::2]))
    reached = sum(len(right) - bisect_left(right, observed - slack - each) for each in left)
    return min(1.0, reached / 2.0 ** (len(differences) - 1))


def _sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [each + signed for each in sums for signed in (value, -value)]
    return sums


def _drawn(differences: Sequence[float], random: Random) -> float:
    sizes, slack = [abs(each) for each in differences], _slack(differences)
    observed, total = abs(math.fsum(differences)), math.fsum(sizes)
    hits = 0
    for _ in range(SHUFFLES):
        bits = random.getrandbits(len(sizes))
        flipped = math.fsum(size for place, size in enumerate(sizes) if bits >> place & 1)
        hits += abs(total - 2 * flipped) >= observed - slack
    return (hits + 1) / (SHUFFLES + 1)


def _slack(differences: Sequence[float]) -> float:
    """Sums in another order differ in their last digits: equal outcomes must count as equal."""
    return 1e-9 * math.fsum(abs(each) for each in differences)
