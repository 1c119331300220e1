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


Decision = Literal["better", "worse", "futile"]


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Decision
    evidence: Evidence


def decided(evidence: Evidence, left: int) -> Decision | None:
    """What is sure by now; None while the ``left`` pairs to come can still show that it is better.

    To give up early lets nothing more in, so it costs no certainty.
    """
    if evidence.worse.has_won():
        return "worse"
    if evidence.better.has_won():
        return "better"
    return None if left and evidence.better.could_win(left, most_lost=1.0) else "futile"


async def compared(
    trials: PairedTrials,
    champion: ContextPlaybook,
    challenger: ContextPlaybook,
    seeds: Sequence[int],
) -> Verdict:
    """Play seed by seed until it is decided."""
    evidence, outcome = Evidence.none(len(seeds)), decided(Evidence.none(len(seeds)), len(seeds))
    played = 0
    while outcome is None:
        batch = seeds[played : played + BATCH]
        for pair in await trials.play(champion, challenger, batch):
            evidence = evidence.paired(pair.challenger, pair.champion)
        played += len(batch)
        outcome = decided(evidence, len(seeds) - played)
    return Verdict(outcome, evidence)
