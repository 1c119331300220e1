"""Values of the context layer: playbooks, deltas, traces, status, and the package's settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.storable import StorableObject, StorableText, check_text

# Bytes of a trace's metadata and error message: as JSON, in UTF-8.
LARGEST_TRACE = 128 * 1024
EvolutionState = Literal["idle", "processing", "failed"]


class ACEConfig(BaseModel):
    """Settings of the context layer; ``ace_llm_model`` may also be written ``llm_model``."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: name.removeprefix("ace_")),
    )

    ace_llm_model: str = Field(
        default="gpt-4o-mini", min_length=1, description="Model that proposes deltas."
    )
    ace_confidence_threshold: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Confidence below which a delta is kept but not applied.",
    )
    ace_gate: Literal["auto", "curator", "canary"] = Field(
        default="auto",
        description=(
            "What lets a proposed delta in where no environment is bound to the agent: the curator "
            "alone, a canary after it, or (auto) a canary where the agent takes part in one, which "
            "it does by naming its tasks when it renders."
        ),
    )
    ace_environments: dict[str, str] = Field(
        default={},
        description=(
            "Environments in which what is proposed to an agent is tried before it is let in, by "
            "agent id; `playbook-agent` is the bundled agent of every tenant."
        ),
    )
    ace_trial_pairs: int = Field(
        default=48,
        ge=8,
        le=1000,
        description="Pairs of episodes after which a trial in an environment is given up.",
    )
    ace_canary_stage_outcomes: int = Field(
        default=20, ge=1, description="Outcomes with the delta that each stage of a canary needs."
    )
    ace_canary_max_outcomes: int = Field(
        default=2000,
        ge=10,
        description="Outcomes after which a canary is given up, and after which a hold-out ends.",
    )
    ace_max_candidates: int = Field(
        default=20, ge=1, description="Deltas of one playbook that may wait for their trial."
    )
    ace_max_deltas_per_evolution: int = Field(
        default=5, ge=1, le=50, description="Most deltas taken from one answer of the model."
    )
    ace_worker_queue_size: int = Field(
        default=1000, ge=1, description="Agents that may wait for evolution; one more is refused."
    )
    ace_worker_batch_size: int = Field(
        default=10, ge=1, le=100, description="Agents that one worker evolves at the same time."
    )
    ace_worker_batch_timeout: float = Field(
        default=5.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds the worker waits for a request before it looks into the database.",
    )
    ace_evolution_interval: int = Field(
        default=100,
        ge=1,
        description="New traces of an agent that start an evolution by themselves.",
    )
    ace_min_traces_for_evolution: int = Field(
        default=10, ge=1, description="New traces that an evolution needs unless it is forced."
    )
    ace_monthly_budget_usd: float = Field(
        default=100.0,
        ge=0,
        description="Most US dollars that evolution may spend in a calendar month.",
    )
    ace_cost_per_1m_tokens: float = Field(
        default=0.15,
        ge=0,
        description="US dollars per million input tokens, where the gateway reports no cost.",
    )
    ace_max_tokens_per_request: int = Field(
        default=4096, ge=512, description="Tokens of one model call, prompt and answer together."
    )
    ace_max_llm_calls_per_minute: int = Field(
        default=600,
        ge=2,
        description="Most model calls of evolution in a minute, over all replicas; "
        "one evolution counts as two.",
    )
    ace_cache_ttl_seconds: int = Field(
        default=300, ge=1, description="Seconds a cached playbook may live."
    )
    ace_enable_cache: bool = Field(default=True, description="Whether playbooks are cached at all.")
    ace_cb_failure_threshold: int = Field(
        default=5, ge=1, description="Failed model calls in a row that open the circuit breaker."
    )
    ace_cb_recovery_timeout: int = Field(
        default=60, ge=1, description="Seconds until an open circuit breaker tries one call."
    )


Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(check_text),
]


class ContextPlaybook(BaseModel):
    model_config = ConfigDict(frozen=True)

    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, JsonValue] = {}


class ContextDelta(BaseModel):
    model_config = ConfigDict(frozen=True)

    delta_id: Identifier
    playbook_id: Identifier
    changes: StorableObject
    confidence: float = Field(ge=0.0, le=1.0)
    reasoning: StorableText
    generated_at: datetime
    applied: bool = False
    applied_at: datetime | None = None


class ExecutionTrace(BaseModel):
    model_config = ConfigDict(frozen=True)

    trace_id: Identifier
    agent_id: Identifier
    task_id: Annotated[StorableText, StringConstraints(max_length=255)]
    execution_time: float = Field(ge=0, allow_inf_nan=False)
    success: bool
    output_quality: float | None = Field(default=None, ge=0.0, le=1.0)
    error_message: StorableText | None = None
    metadata: StorableObject = {}
    captured_at: datetime


class EvolutionStatus(BaseModel):
    model_config = ConfigDict(frozen=True)

    agent_id: str
    last_evolution: datetime | None = None
    pending_traces: int = 0
    deltas_generated: int = 0
    deltas_applied: int = 0
    total_cost: float = 0.0
    status: EvolutionState = "idle"


CurationReason = Literal[
    "accepted",
    "duplicate",
    "schema",
    "secret",
    "injection",
    "no_op",
    "ungrounded",
    "collapse",
    "pinned",
    "confidence",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationDecision:
    """What became of a delta and why. ``delta`` is what may be applied: duplicates rewritten.

    ``duplicate`` is an acceptance: the playbook knew the lesson, which gains support.
    """

    accepted: bool
    reason: CurationReason
    detail: str
    delta: ContextDelta
    threshold: float
    # The delta's own confidence, as it was given, stays in ``delta``.
    calibrated: float

    def as_json(self) -> JsonObject:
        return {
            "accepted": self.accepted,
            "reason": self.reason,
            "detail": self.detail,
            "confidence": self.delta.confidence,
            "calibrated": round(self.calibrated, 4),
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookStamp:
    """What an agent was shown. It travels with the task into its trace, so credit goes right."""

    playbook_id: str
    version: int
    bullets: tuple[str, ...]
    hash: str
    arm: str = "champion"
    # Empty outside experiments; else the stage says with what probability the task got its arm.
    experiment: str = ""
    stage: int = 0
    # Whether the task was named, so that it takes part in the experiments that there are.
    named: bool = False

    def as_json(self) -> JsonObject:
        shown: JsonObject = {
            "playbook_id": self.playbook_id,
            "version": self.version,
            "bullets": list(self.bullets),
            "hash": self.hash,
            "arm": self.arm,
        }
        if self.experiment:
            shown |= {"experiment": self.experiment, "stage": self.stage}
        if self.named:
            shown["named"] = True
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedContext:
    text: str
    tokens: int
    stamp: PlaybookStamp


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaOutcome:
    """``rollback_available``: the playbook's current version can be taken back exactly."""

    playbook: ContextPlaybook
    applied: bool
    reason: str

    @property
    def rollback_available(self) -> bool:
        return self.playbook.version > 1
