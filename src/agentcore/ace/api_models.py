"""What the context routes take and give."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from agentcore.ace.content import Place
from agentcore.ace.difference import Change, ChangeKind, Difference
from agentcore.ace.experiment import Experiment, Outcome, Phase
from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextPlaybook, DeltaOutcome, EvolutionState, Identifier
from agentcore.ace.sequential import Evidence, Tally
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.storable import StorableObject, StorableText

# Versions are PostgreSQL integers.
LAST_VERSION = 2**31 - 1
NOT_GIVEN = "not given"
_CONTEXT: JsonObject = {
    "goals": ["solve customer issues"],
    "constraints": ["response time <5s"],
    "capabilities": ["search", "reasoning"],
}
_CHANGES: JsonObject = {"goals": ["solve customer issues", "proactive engagement"]}


def _addressable(agent_id: str) -> str:
    """A playbook that is made must also be found: its agent's id is a segment of a path."""
    if "/" in agent_id or agent_id in {".", ".."}:
        raise ValueError(f"{agent_id!r} cannot stand in a URL: no '/', and neither '.' nor '..'")
    return agent_id


AddressableId = Annotated[Identifier, AfterValidator(_addressable)]


class _Request(BaseModel):
    # Strict: "no" is not false, true is not version 1, and no text is a number.
    model_config = ConfigDict(extra="forbid", strict=True)


class PlaybookRequest(_Request):
    agent_id: AddressableId = Field(examples=["agent-123"])
    initial_context: StorableObject = Field(default={}, examples=[_CONTEXT])


class DeltaRequest(_Request):
    delta_id: Identifier = Field(
        examples=["delta-789"], description="The same id repeats the same delta without effect."
    )
    changes: StorableObject = Field(
        examples=[_CHANGES, {"ops": [{"op": "ADD", "section": "checks", "text": "Cite sources."}]}],
        description="Keys to merge in, or a batch of operations under 'ops'.",
    )
    confidence: float = Field(ge=0.0, le=1.0, examples=[0.85])
    reasoning: StorableText = Field(default=NOT_GIVEN, max_length=10_000)
    expected_version: int | None = Field(
        default=None,
        ge=1,
        le=LAST_VERSION,
        description="The version that the delta was made for; 409 if what it touches has changed.",
    )


class RollbackRequest(_Request):
    version: int = Field(
        ge=1, le=LAST_VERSION, examples=[2], description="The version whose content comes back."
    )


class TraceRequest(_Request):
    agent_id: Identifier = Field(examples=["agent-123"])
    task_id: Annotated[StorableText, StringConstraints(max_length=255)] = Field(
        default="", examples=["task-999"]
    )
    execution_time: float = Field(ge=0, allow_inf_nan=False, examples=[2.5], description="Seconds.")
    success: bool = Field(examples=[True])
    output_quality: float | None = Field(default=None, ge=0.0, le=1.0, examples=[0.9])
    error_message: StorableText | None = None
    metadata: StorableObject = Field(
        default={}, description="Anything; the stamp of a render goes under 'playbook'."
    )


class TriggerRequest(_Request):
    agent_id: Identifier = Field(examples=["agent-123"])
    force: bool = Field(default=False, description="Also with fewer traces than usually needed.")


class PlaybookCreated(BaseModel):
    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]
    created_at: datetime


class PlaybookRead(BaseModel):
    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]
    last_updated: datetime

    @staticmethod
    def written(playbook: ContextPlaybook) -> bytes:
        """As JSON at once: validating again what was validated when stored takes most of a read."""
        return dumps(
            {
                "playbook_id": playbook.playbook_id,
                "agent_id": playbook.agent_id,
                "version": playbook.version,
                "content": playbook.content,
                "last_updated": playbook.updated_at,
            }
        )


class DeltaResult(BaseModel):
    playbook_id: str
    version: int
    applied: bool
    rollback_available: bool

    @classmethod
    def of(cls, outcome: DeltaOutcome) -> Self:
        return cls(
            playbook_id=outcome.playbook.playbook_id,
            version=outcome.playbook.version,
            applied=outcome.applied,
            rollback_available=outcome.rollback_available,
        )


class PlaybookVersion(BaseModel):
    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]


class PlacedBullet(BaseModel):
    """A bullet and the section that it stands in."""

    section: str
    bullet: dict[str, JsonValue]

    @classmethod
    def of(cls, place: Place | None) -> Self | None:
        return None if place is None else cls(section=place.section, bullet=place.bullet.as_json())


class BulletChange(BaseModel):
    id: str
    change: ChangeKind
    before: PlacedBullet | None
    after: PlacedBullet | None

    @classmethod
    def of(cls, change: Change[Place]) -> Self:
        return cls(
            id=change.name,
            change=change.kind,
            before=PlacedBullet.of(change.before),
            after=PlacedBullet.of(change.after),
        )


class OwnerChange(BaseModel):
    key: str
    change: ChangeKind
    before: JsonValue
    after: JsonValue

    @classmethod
    def of(cls, change: Change[JsonValue]) -> Self:
        return cls(key=change.name, change=change.kind, before=change.before, after=change.after)


class PlaybookDifference(BaseModel):
    agent_id: str
    from_version: int
    to_version: int
    bullets: list[BulletChange]
    owner: list[OwnerChange]

    @classmethod
    def of(cls, agent_id: str, before: int, after: int, found: Difference) -> Self:
        return cls(
            agent_id=agent_id,
            from_version=before,
            to_version=after,
            bullets=[BulletChange.of(change) for change in found.bullets],
            owner=[OwnerChange.of(change) for change in found.owner],
        )


class Estimate(BaseModel):
    """A mean with its 95 % interval, which holds at all times at once; null without outcomes."""

    count: int
    mean: float | None
    low: float
    high: float

    @classmethod
    def of(cls, tally: Tally) -> Self:
        interval = tally.interval()
        return cls(count=tally.count, mean=tally.mean, low=interval.low, high=interval.high)


class Comparison(BaseModel):
    """With the delta against without it; ``evidence_*`` decides at 20, that is 1 / 0.05."""

    with_delta: Estimate
    without_delta: Estimate
    difference_low: float
    difference_high: float
    evidence_better: float
    evidence_worse: float

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        difference = evidence.difference()
        return cls(
            with_delta=Estimate.of(evidence.treated),
            without_delta=Estimate.of(evidence.control),
            difference_low=difference.low,
            difference_high=difference.high,
            evidence_better=evidence.better.peak,
            evidence_worse=evidence.worse.peak,
        )


class ExperimentRequest(_Request):
    delta_id: Identifier = Field(
        examples=["delta-789"], description="A delta of this playbook that is not applied."
    )


class ExperimentReport(BaseModel):
    """``stage``: percent of the tasks that see the delta; at 100, ten are held out.

    With an ``environment``, pairs of episodes there, which have cost ``cost_usd``, stand in
    ``canary``; ``disturbed`` is why the last of them could not be played.
    """

    experiment_id: str
    agent_id: str
    delta_id: str
    phase: Phase
    stage: int
    outcome: Outcome | None
    environment: str | None
    cost_usd: float
    disturbed: str | None
    canary: Comparison
    watch: Comparison | None
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, agent_id: str, experiment: Experiment) -> Self:
        watched = None if experiment.canary is None else Comparison.of(experiment.evidence)
        return cls(
            experiment_id=experiment.experiment_id,
            agent_id=agent_id,
            delta_id=experiment.delta_id,
            phase=experiment.phase,
            stage=experiment.stage,
            outcome=experiment.outcome,
            environment=experiment.environment or None,
            cost_usd=float(experiment.cost_usd),
            disturbed=experiment.disturbed or None,
            canary=Comparison.of(experiment.canary or experiment.evidence),
            watch=watched,
            started_at=experiment.started_at,
            ended_at=experiment.ended_at,
        )


class ExperimentPage(BaseModel):
    items: list[ExperimentReport]
    next_cursor: str | None


class BindingRequest(_Request):
    environment: str = Field(
        min_length=1,
        max_length=256,
        examples=["task_routing"],
        description="An environment that is bundled, configured or registered.",
    )


class BindingReport(BaseModel):
    """``environment`` is null where none is bound."""

    agent_id: str
    environment: str | None


class TraceCaptured(BaseModel):
    trace_id: str
    captured_at: datetime


class EvolutionEnqueued(BaseModel):
    enqueued: bool
    position: int


class EvolutionReport(BaseModel):
    agent_id: str
    last_evolution: datetime | None
    pending_traces: int
    deltas_generated: int
    deltas_applied: int
    status: EvolutionState


class Rendered(BaseModel):
    text: str
    tokens: int
    stamp: dict[str, JsonValue]


class _Decision(BaseModel):
    """What the column ``gate`` says of a delta; what it leaves out was not asked."""

    reason: str = "accepted"
    detail: str = ""
    calibrated: float | None = None
    threshold: float | None = None


class DeltaItem(BaseModel):
    delta_id: str
    kind: str
    applied: bool
    reason: str = Field(examples=["confidence"])
    detail: str = Field(
        examples=["0.632, from 0.8 as claimed, is below 0.7"],
        description="More about the reason; empty where that says it all.",
    )
    confidence: float = Field(examples=[0.8], description="As it was claimed.")
    calibrated: float | None = Field(
        examples=[0.6321],
        description="What the confidence counted as; null where no model proposed the delta.",
    )
    threshold: float | None = Field(
        examples=[0.7], description="What the calibrated confidence had to reach."
    )
    reasoning: str
    base_version: int
    result_version: int | None
    changes: dict[str, JsonValue]
    generated_at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        delta, decision = entry.delta, _Decision.model_validate(entry.gate)
        return cls(
            delta_id=delta.delta_id,
            kind=entry.kind,
            applied=delta.applied,
            reason=decision.reason,
            detail=decision.detail,
            confidence=delta.confidence,
            calibrated=decision.calibrated,
            threshold=decision.threshold,
            reasoning=delta.reasoning,
            base_version=entry.base_version,
            result_version=entry.result_version,
            changes=delta.changes,
            generated_at=delta.generated_at,
        )


class DeltaPage(BaseModel):
    items: list[DeltaItem]
    next_cursor: str | None
