"""How sure a model is, corrected by how often it was right when it said so.

Isotonic regression (pool adjacent violators) of what became of earlier deltas on the confidence
that the model gave them. Points on the diagonal stand for the belief that the model is honest: a
few outcomes bend the curve a little, many bend it to what they say. It never falls, so of two
deltas the surer one stays the surer one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from agentcore.ace.content import Bullet

# The belief that the model is honest: points on the diagonal, and the outcomes that each outweighs.
PRIOR_POINTS, PRIOR_WEIGHT = 20, 5
FEWEST_OBSERVATIONS = 5
# One-sided, 95 %.
FAR_BELOW = 1.645

# Why a delta was not applied that a canary has tried.
WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a delta that was applied: what the model said, and whether it did good."""

    confidence: float
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A delta of a model that was applied, as the log has it.

    ``bullets`` are those it added, ``absorbed`` those that it merged into others; ``refused``: a
    canary found it worse than what there was.
    """

    confidence: float
    bullets: tuple[str, ...] = ()
    absorbed: tuple[str, ...] = ()
    refused: bool = False

    @classmethod
    def read(
        cls, confidence: float, operations: JsonValue, inverse: JsonValue, reason: str | None
    ) -> Proposed:
        """From the columns of the log: what takes an addition back names the bullet."""
        merges = [one["ids"] for one in _objects(operations) if one.get("op") == "MERGE"]
        return cls(
            confidence=confidence,
            bullets=tuple(str(one["id"]) for one in _objects(inverse) if one.get("op") == "REMOVE"),
            absorbed=tuple(
                str(name) for ids in merges if isinstance(ids, list) for name in ids[1:]
            ),
            refused=reason == WORSE,
        )


class Calibration:
    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        given = [(outcome.confidence, float(outcome.good), 1) for outcome in outcomes]
        steps = [n / PRIOR_POINTS for n in range(PRIOR_POINTS + 1)]
        believed = [(step, step, PRIOR_WEIGHT) for step in steps]
        self.outcomes = len(given)
        self._levels = _pooled(sorted(given + believed))

    def __call__(self, confidence: float) -> float:
        """The share of good deltas to expect; ``confidence`` itself while nothing is known."""
        if not self.outcomes:
            return confidence
        places = [place for place, _ in self._levels]
        at = bisect_right(places, confidence)
        if at == len(self._levels):
            return self._levels[-1][1]
        (left, low), (right, high) = self._levels[at - 1], self._levels[at]
        return low + (high - low) * (confidence - left) / (right - left)


def outcomes(proposed: Sequence[Proposed], bullets: Mapping[str, Bullet]) -> list[Outcome]:
    """What became of deltas, where that is known, by the ``bullets`` as they are now.

    Bad is what a canary refused, what is gone or retired again, and what fails clearly more often
    than the playbook as a whole. What was seen too rarely or merged is no outcome.
    """
    merged = {bullet for delta in proposed for bullet in delta.absorbed}
    seen = sum(one.helpful + one.harmful for one in bullets.values())
    failed = sum(one.harmful for one in bullets.values())
    usual = failed / seen if seen else 0.0
    found: list[Outcome] = []
    for delta in proposed:
        own = [bullets.get(bullet) for bullet in delta.bullets if bullet not in merged]
        good = False if delta.refused else _fared(own, usual) if own else None
        if good is not None:
            found.append(Outcome(delta.confidence, good))
    return found


def _objects(listed: JsonValue) -> list[dict[str, JsonValue]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _fared(bullets: list[Bullet | None], usual: float) -> bool | None:
    present = [one for one in bullets if one is not None and one.status == "active"]
    if not present:
        return False
    failed = sum(one.harmful for one in present)
    seen = failed + sum(one.helpful for one in present)
    if seen < FEWEST_OBSERVATIONS:
        return None
    return failed / seen <= usual + FAR_BELOW * math.sqrt(usual * (1 - usual) / seen)


def _pooled(points: Sequence[tuple[float, float, int]]) -> list[tuple[float, float]]:
    """Where the fitted steps begin and end, and how high they are."""
    blocks: list[_Block] = []
    for place, value, weight in points:
        block = _Block(place, place, value, weight)
        while blocks and (blocks[-1].height >= block.height or blocks[-1].end == block.begin):
            block = blocks.pop().joined(block)
        blocks.append(block)
    edges = [((one.begin, one.height), (one.end, one.height)) for one in blocks]
    return [edge for pair in edges for edge in dict.fromkeys(pair)]


@dataclass(frozen=True, slots=True)
class _Block:
    begin: float
    end: float
    height: float
    weight: int

    def joined(self, later: _Block) -> _Block:
        weight = self.weight + later.weight
        height = (self.height * self.weight + later.height * later.weight) / weight
        return _Block(self.begin, later.end, height, weight)


HONEST = Calibration()
