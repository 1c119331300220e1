"""Values of rollouts and their evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action

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
