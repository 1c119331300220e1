"""What a scenario found, beside what was promised."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """``goal`` is None where nothing was promised."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    def __str__(self) -> str:
        told = f"{self.name:<62} {self.value:10.3f} {self.unit}"
        if self.goal is None:
            return told
        return f"{told}, goal {self.goal:g}: {'kept' if self.value <= self.goal else 'MISSED'}"


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
