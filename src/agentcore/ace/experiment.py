"""A challenger beside the champion: who sees it, what is known of it, and what follows.

The challenger is the playbook with one more delta. It is shown to 5, then 10, then 25 percent of
the tasks, and to all once it has proved better. Ten percent are held out then: they go on without
the delta, so that a regression that comes late is seen and taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import apply, parse_operations
from agentcore.ace.sequential import Evidence
from agentcore.kit.jsonvalue import JsonObject

STAGES = (5, 10, 25)
PROMOTED = 100
# Of five percent, a harm of 17 points is seen within 2000 tasks in 85 of 100 cases, of ten in 98.
HELD_OUT = 10
MARK = "experiment"
CHAMPION = "champion"
WITHOUT = "held-out"

Phase = Literal["paired", "canary", "watch", "ended"]
Outcome = Literal["better", "worse", "futile", "kept", "regressed", "conflict", "stopped"]
Step = Literal["stay", "widen", "promote", "discard", "give_up", "revert", "keep"]


class Experiment(BaseModel):
    """All that is known; it stands in the log as an entry beside the versions."""

    model_config = ConfigDict(frozen=True)

    experiment_id: str
    delta_id: str
    phase: Phase = "canary"
    stage: int = STAGES[0]
    # Outcomes with the delta since the stage began.
    seen: int = 0
    evidence: Evidence
    # What the canary found, once the watch has begun with evidence of its own.
    canary: Evidence | None = None
    outcome: Outcome | None = None
    # Where pairs of episodes decide instead of a canary, and what they have cost.
    environment: str = ""
    cost_usd: Decimal = Decimal(0)
    # Why the last pairs could not be played.
    disturbed: str = ""
    started_at: datetime
    ended_at: datetime | None = None

    def observed(self, outcome: float, *, treated: bool) -> Experiment:
        share = share_of(self.stage) / 100
        evidence = self.evidence.observed(outcome, treated=treated, share=share)
        return self.model_copy(update={"evidence": evidence, "seen": self.seen + treated})

    def next_step(self, *, stage_outcomes: int, most_outcomes: int) -> Step:
        evidence = self.evidence
        if self.phase == "watch":
            if evidence.worse.has_won():
                return "revert"
            return "keep" if evidence.count >= most_outcomes else "stay"
        if evidence.worse.has_won():
            return "discard"
        if self.seen >= stage_outcomes and self.stage != STAGES[-1]:
            return "widen"
        if self.seen >= stage_outcomes and evidence.better.has_won():
            return "promote"
        return "give_up" if evidence.count >= most_outcomes else "stay"

    def widened(self) -> Experiment:
        wider = STAGES[STAGES.index(self.stage) + 1]
        return self.model_copy(update={"stage": wider, "seen": 0})

    def promoted(self, *, horizon: int) -> Experiment:
        return self.model_copy(
            update={
                "phase": "watch",
                "stage": PROMOTED,
                "seen": 0,
                "outcome": "better",
                "canary": self.evidence,
                "evidence": Evidence.none(horizon),
            }
        )

    def ended(self, outcome: Outcome, now: datetime) -> Experiment:
        over = {"phase": "ended", "outcome": outcome, "ended_at": now, "disturbed": ""}
        return self.model_copy(update=over)


class Split(BaseModel):
    """What a render has to know of a running experiment; kept with the playbook.

    ``operations`` make the other arm's content of the playbook's own.
    """

    model_config = ConfigDict(frozen=True)

    experiment_id: str
    delta_id: str
    stage: int
    operations: tuple[dict[str, JsonValue], ...]

    @classmethod
    def of(cls, playbook: ContextPlaybook) -> Split | None:
        found = playbook.metadata.get(MARK)
        return None if found is None else cls.model_validate(found)

    def treats(self, agent_id: str, task_id: str) -> bool:
        """Whether the task sees the delta; the same at each asking, and in every later stage."""
        return drawn(self.experiment_id, agent_id, task_id) < share_of(self.stage) / 100

    def arm(self, *, treated: bool) -> str:
        """What a stamp calls it. The playbook as it is, is the champion in every phase."""
        if self.stage == PROMOTED:
            return CHAMPION if treated else WITHOUT
        return self.delta_id if treated else CHAMPION

    def other(self, content: Mapping[str, JsonValue], *, version: int) -> JsonObject:
        """The content of the arm that is not the champion.

        Raises:
            InvalidOperation: the playbook has changed where the delta would.
        """
        operations = parse_operations([*self.operations], internal=True)
        return apply(content, operations, version=version).content

    def without(self, operations: Sequence[JsonObject]) -> Split:
        """The same, when the champion has got what ``operations`` take back.

        A hold-out goes on as it was; a canary's challenger has it as well.
        """
        if self.stage != PROMOTED:
            return self
        return self.model_copy(update={"operations": (*operations, *self.operations)})

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json")
        return dumped


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What a task is shown of a playbook, as its stamp says."""

    name: str = CHAMPION
    experiment: str = ""
    stage: int = 0
    split: Split | None = None

    def content(self, playbook: ContextPlaybook) -> JsonObject:
        if self.split is None or self.name == CHAMPION:
            return playbook.content
        return self.split.other(playbook.content, version=playbook.version)


THE_CHAMPION = Arm()


def arm_of(playbook: ContextPlaybook, task_id: str) -> Arm:
    """The arm of a task. Without a name it is no part of any experiment and sees the champion."""
    split = Split.of(playbook)
    if split is None or not task_id:
        return THE_CHAMPION
    treated = split.treats(playbook.agent_id, task_id)
    return Arm(
        name=split.arm(treated=treated),
        experiment=split.experiment_id,
        stage=split.stage,
        split=split,
    )


def share_of(stage: int) -> int:
    """Percent of the tasks that see the delta."""
    return stage if stage in STAGES else PROMOTED - HELD_OUT


def drawn(experiment_id: str, agent_id: str, task_id: str) -> float:
    """A number in [0, 1) that belongs to the task, and to this experiment alone."""
    seed = f"{experiment_id}\0{agent_id}\0{task_id}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:6], "big") / (1 << 48)


def outcome_of(trace: ExecutionTrace) -> float:
    return float(trace.success) if trace.output_quality is None else trace.output_quality


def takes_part(traces: Sequence[ExecutionTrace], playbook_id: str) -> bool:
    """Whether the agent names its tasks: half of these say that theirs was."""
    stamps = [trace.metadata.get("playbook") for trace in traces if trace.task_id]
    own = [s for s in stamps if isinstance(s, dict) and s.get("playbook_id") == playbook_id]
    named = sum(bool(stamp.get("named")) for stamp in own)
    return 2 * named >= len(traces) > 0


def names_experiment(trace: ExecutionTrace) -> bool:
    stamp = trace.metadata.get("playbook")
    return isinstance(stamp, dict) and bool(stamp.get("experiment"))


def treated_by(trace: ExecutionTrace, split: Split) -> bool | None:
    """The arm that the trace's task was in; None where it was no part of the experiment.

    Only the arm that the task's own number asks for counts: whoever could choose the arm could
    choose the result.
    """
    stamp = trace.metadata.get("playbook")
    if not isinstance(stamp, dict) or not trace.task_id:
        return None
    treated = split.treats(trace.agent_id, trace.task_id)
    seen = (stamp.get("experiment"), stamp.get("stage"), stamp.get("arm"))
    fits = seen == (split.experiment_id, split.stage, split.arm(treated=treated))
    return treated if fits else None
