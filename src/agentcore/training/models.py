"""Values of rollouts and their evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action

Phase = Literal["reset", "policy", "step", "reward", "deadline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step: what the player saw, what it did, and what came of it.

    ``reward`` is the environment's own. ``info`` is the environment's side channel.
    """

    observation: JsonObject
    action: Action
    reward: float
    next_observation: JsonObject
    terminated: bool
    truncated: bool
    info: JsonObject = field(default_factory=dict)
    seconds: float = 0.0

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
        return sum(self.rewards if self.shaped is None else self.shaped)

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
