"""What a scenario found, beside what was promised."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

# What is measured, how, and what comes of it.
T = TypeVar("T")
S = TypeVar("S", bound="Named")
M = TypeVar("M")


class Named(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Measured:
    """``goal`` is None where nothing was promised; ``least`` says that it is a lower bound."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False

    @property
    def kept(self) -> bool:
        if self.goal is None:
            return True
        return self.value >= self.goal if self.least else self.value <= self.goal

    def __str__(self) -> str:
        told = f"{self.name:<62} {self.value:10.3f} {self.unit}"
        if self.goal is None:
            return told
        bound = "at least " if self.least else ""
        return f"{told}, goal {bound}{self.goal:g}: {'kept' if self.kept else 'MISSED'}"


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def in_turns(
    targets: Mapping[str, T],
    scenarios: Sequence[S],
    measure: Callable[[T, S, float], M],
    *,
    seconds: float,
    rounds: int,
) -> dict[str, dict[str, list[M]]]:
    """What each round found, by target and scenario, after all have been warmed up.

    They take turns scenario by scenario: what disturbs the machine disturbs all of them.
    """
    for target in targets.values():
        measure(target, scenarios[1], max(0.3, seconds / 2))
    taken: dict[str, dict[str, list[M]]] = {
        name: {scenario.name: [] for scenario in scenarios} for name in targets
    }
    for number in range(rounds):
        for scenario in scenarios:
            print(f"round {number + 1}/{rounds}: {scenario.name}", file=sys.stderr)
            for name, target in targets.items():
                taken[name][scenario.name].append(measure(target, scenario, seconds))
    return taken
