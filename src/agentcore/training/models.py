"""Values of rollouts and their evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.storable import StorableText, check_storable
from agentcore.training.openenv.models import ENVIRONMENT_NAME, Action, JsonMap

# Taken as it is: what is stored as JSON has been parsed from JSON.
JsonAny = Annotated[JsonValue, SkipValidation]

# Sums and squares of rewards up to it have a number for their result.
LARGEST_REWARD = 1e100
Phase = Literal["reset", "policy", "step", "reward", "deadline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step: what the player saw, what it did, and what came of it.

    ``reward`` is the environment's own. ``info`` is the environment's side channel. ``cut``: a
    limit of the player's side truncated the episode, the environment could have gone on.
    """

    observation: JsonObject
    action: Action
    reward: float
    next_observation: JsonObject
    terminated: bool
    truncated: bool
    info: JsonObject = field(default_factory=dict)
    seconds: float = 0.0
    cut: bool = False

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated


@dataclass(frozen=True, slots=True)
class EpisodeFailure:
    """Why an episode did not come to its end; ``code`` is that of the error, ``phase`` says where.

    What was played until then is in the episode.
    """

    phase: Phase
    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode as it was played.

    ``rewards`` are the environment's; ``shaped`` those of the rollout's reward function, where it
    had one. ``step_seconds`` are the times that the environment took for each step, ``seconds``
    the whole, the policy's thinking included. ``info`` is that of the last step.
    """

    index: int
    seed: int
    rewards: tuple[float, ...] = ()
    shaped: tuple[float, ...] | None = None
    terminated: bool = False
    truncated: bool = False
    seconds: float = 0.0
    step_seconds: tuple[float, ...] = ()
    info: JsonObject = field(default_factory=dict)
    failure: EpisodeFailure | None = None
    transitions: tuple[Transition, ...] = ()

    @property
    def reward(self) -> float:
        """The total that counts: shaped where there is a reward function."""
        return math.fsum(self.rewards if self.shaped is None else self.shaped)

    @property
    def length(self) -> int:
        return len(self.rewards)

    @property
    def complete(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """All episodes in the order of their seeds, whoever finished first."""

    episodes: tuple[Episode, ...]
    seconds: float

    @property
    def completed(self) -> tuple[Episode, ...]:
        return tuple(episode for episode in self.episodes if episode.complete)

    @property
    def failures(self) -> tuple[Episode, ...]:
        return tuple(episode for episode in self.episodes if not episode.complete)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Value):
    """A mean and where it lies with this confidence."""

    mean: float
    low: float
    high: float
    confidence: float


class PairedTests(_Value):
    """Who won how many pairs, and how likely that is where neither is better (two-sided)."""

    wins: int
    losses: int
    ties: int
    sign_p: float
    permutation_p: float
    exact: bool


class EvaluationReport(_Value):
    """How a policy did in an environment.

    ``rewards`` has the total of each of ``seeds``, None where the episode failed; mean, length
    and latency are those of the completed episodes. ``success`` counts failed episodes as not
    successful, and is None where neither the environment nor the caller says what success is.
    Times in seconds; ``step_p50`` and ``step_p95`` are the environment's answers to a step.
    ``failures`` counts by code, and ``reasons`` has what the first failure of each code said,
    and ``hints`` what can be done.
    """

    policy: str
    environment: str
    seeds: tuple[int, ...]
    rewards: tuple[float | None, ...]
    mean: float | None
    interval: Interval | None
    success: Interval | None
    mean_length: float | None
    step_p50: float | None
    step_p95: float | None
    steps: int
    seconds: float
    failures: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)
    hints: dict[str, str] = Field(default_factory=dict)

    @property
    def episodes(self) -> int:
        return len(self.seeds)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class PairedComparison(_Value):
    """``policy`` against ``baseline`` on the seeds that both completed; positive: it is better."""

    policy: str
    baseline: str
    pairs: int
    difference: float
    interval: Interval | None
    tests: PairedTests


class Standing(_Value):
    """A row of a leaderboard: ``rank`` counts who is surely better, ``tied_with`` who may not be.

    Two are tied where their intervals overlap; that is no equivalence, so a tie is said by name.
    """

    rank: int
    policy: str
    mean: float | None
    interval: Interval | None
    success: Interval | None
    episodes: int
    failed: int
    tied_with: tuple[str, ...] = ()


class RewardSpec(_Value):
    """A reward function by name; see ``reward_registry``."""

    name: str = Field(min_length=1, max_length=64)
    parameters: JsonMap = Field(default_factory=dict)


# Versions are PostgreSQL integers.
LAST_VERSION = 2**31 - 1
CheckpointKind = Literal["policy", "prompt", "playbook"]
CheckpointName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
MetricName = Annotated[StorableText, Field(min_length=1, max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ResumePoint(_Value):
    """All that a run needs to go on as if it had never stopped.

    ``random`` is the state of its ``random.Random`` (see ``checkpoint.random_state``), ``position``
    how many seeds of its list it has played, ``optimizer`` what the optimizer wants back.
    """

    random: JsonAny = None
    position: int = Field(0, ge=0)
    optimizer: JsonAny = None


class CheckpointEntry(_Value):
    """A checkpoint as lists show it: without its content.

    Versions of a name count from 1. ``parent`` is the version it came from, whether or not that
    is still kept. ``sha256`` is of everything but the time.
    """

    kind: CheckpointKind
    name: CheckpointName
    version: int
    parent: int | None
    metrics: dict[str, Finite]
    sha256: str
    created_at: datetime
    created_by: str = ""


class Checkpoint(CheckpointEntry):
    """A version of a policy, prompt or playbook."""

    id: UUID
    content: JsonAny
    resume: ResumePoint | None


class CheckpointPage(_Value):
    checkpoints: tuple[CheckpointEntry, ...]
    next_cursor: str | None = None


class CheckpointDraft(_Value):
    """What is to be saved; ``expected_version`` is the newest version that the writer knows of."""

    kind: CheckpointKind
    name: CheckpointName
    content: JsonAny
    resume: ResumePoint | None = None
    metrics: dict[MetricName, Finite] = Field(default_factory=dict)
    parent: int | None = Field(None, ge=1, le=LAST_VERSION)
    expected_version: int | None = Field(
        None, ge=0, le=LAST_VERSION, description="0: there must be none yet."
    )


class Retention(_Value):
    """The newest ``keep_last`` versions stay, and the ``keep_best`` ones by the metric ``best_by``.

    The newest version stays in any case.
    """

    keep_last: int = Field(10, ge=1)
    best_by: str | None = None
    keep_best: int = Field(1, ge=1)
    lower_is_better: bool = False


class MetricChange(_Value):
    """None where one of the versions does not have the metric."""

    before: float | None
    after: float | None
    change: float | None


# The largest number that is stored as JSON and read again as it was.
MOST_STEPS = 2**63 - 1
PolicyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]


# Rewards may be nested 16 deep, and each has its parameters and terms.
DEEPEST_REWARD = 80


def _storable(reward: RewardSpec) -> RewardSpec:
    check_storable(reward.parameters, deepest=DEEPEST_REWARD)
    return reward


class JobSpec(_Value):
    """A rollout to be run by the service: everything by name, so that no caller brings code.

    With a ``baseline`` both policies play the same seeds and are compared.
    """

    environment: str = Field(pattern=ENVIRONMENT_NAME)
    policy: PolicyName = "random"
    baseline: PolicyName | None = None
    episodes: int = Field(100, ge=1, le=10_000)
    seed: int = Field(0, ge=0, le=2**63 - 10_001)
    sessions: int = Field(1, ge=1, le=64)
    max_steps: int | None = Field(None, ge=1, le=MOST_STEPS)
    deadline_seconds: float = Field(600.0, gt=0, le=86_400)
    reward: Annotated[RewardSpec, AfterValidator(_storable)] | None = None


# Beyond them sums of moments and seconds have no date.
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))
]


def _of_no_zone(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("a time of the day is in the schedule's time zone and names none")
    return value


def _each_once(days: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(days)))


class Once(_Value):
    """At ``at``, or at once."""

    kind: Literal["once"] = "once"
    at: Moment | None = None


class Every(_Value):
    """At ``starts_at``, or at once, and then every so many seconds."""

    kind: Literal["every"] = "every"
    seconds: float = Field(ge=1.0, le=366 * 86_400.0)
    starts_at: Moment | None = None


class Daily(_Value):
    """At times of the day of a time zone, on all days or on some (0 is Monday).

    A time that a change of the clocks leaves out runs by the clock before the change; one that
    comes twice runs the first time.
    """

    kind: Literal["daily"] = "daily"
    times: tuple[Annotated[time, AfterValidator(_of_no_zone)], ...] = Field(
        min_length=1, max_length=96
    )
    weekdays: Annotated[
        tuple[Annotated[int, Field(ge=0, le=6)], ...], AfterValidator(_each_once)
    ] = ()
    timezone: str = Field("UTC", max_length=128)


Timing = Annotated[Once | Every | Daily, Field(discriminator="kind")]
CatchUp = Literal["latest", "all"]
ScheduleState = Literal["active", "paused", "finished", "cancelled"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
AttemptOutcome = Literal["running", "done", "failed", "lost", "released", "cancelled"]


class ScheduleDraft(_Value):
    name: StorableText = Field(min_length=1, max_length=128)
    job: JobSpec
    timing: Timing
    catch_up: CatchUp = Field(
        "latest",
        description="`latest`: missed runs become one; `all`: each, at most the newest 100.",
    )


class Schedule(ScheduleDraft):
    """A standing order for rollouts; ``missed`` counts the runs that were not caught up."""

    id: UUID
    state: ScheduleState
    next_due: datetime | None
    missed: int
    created_at: datetime
    created_by: str


class SchedulePage(_Value):
    schedules: tuple[Schedule, ...]
    next_cursor: str | None = None


class Attempt(_Value):
    """One time that a process began a job; ``lost``: it gave no more sign of life."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome = "running"
    detail: str = ""


class Job(_Value):
    """One run of a schedule; ``result`` holds the evaluation, ``error`` a code and a sentence."""

    id: UUID
    schedule_id: UUID
    due_at: datetime
    status: JobStatus
    job: JobSpec
    attempts: tuple[Attempt, ...]
    result: JsonMap | None = None
    error: JsonMap | None = None
    finished_at: datetime | None = None


class JobPage(_Value):
    jobs: tuple[Job, ...]
    next_cursor: str | None = None
