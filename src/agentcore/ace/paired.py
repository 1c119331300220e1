"""Trials where champion and challenger meet the same tasks: an environment's, by the same seeds.

What both faced cancels out, so a few dozen pairs tell what takes a canary hundreds of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ports import PairedTrials
from agentcore.ace.sequential import Evidence

BATCH = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Literal["better", "worse", "futile"]
    evidence: Evidence


async def compared(
    trials: PairedTrials,
    champion: ContextPlaybook,
    challenger: ContextPlaybook,
    seeds: Sequence[int],
) -> Verdict:
    """Play seed by seed until it is sure which of them is better, or the seeds are used up."""
    evidence = Evidence.none(len(seeds))
    for start in range(0, len(seeds), BATCH):
        for pair in await trials.play(champion, challenger, seeds[start : start + BATCH]):
            evidence = evidence.paired(pair.challenger, pair.champion)
        if evidence.worse.has_won():
            return Verdict("worse", evidence)
        if evidence.better.has_won():
            return Verdict("better", evidence)
    return Verdict("futile", evidence)
