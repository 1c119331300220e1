"""The bundled environments' policies, and what they reach: the scale of every score.

Their scores over the seeds 0 to 999 (mean reward per episode, 95 % interval) are recorded in
docs/reference/environments.md and checked by its tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev

from agentcore.training.openenv.environments.a2a_policies import (
    A2ANaivePolicy,
    A2ARandomPolicy,
    A2AReferencePolicy,
)
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.base import AnyEnvironment
from agentcore.training.openenv.environments.customer_service import CustomerServiceEnv
from agentcore.training.openenv.environments.customer_service_policies import (
    ServiceByLabelPolicy,
    ServiceRandomPolicy,
    ServiceReferencePolicy,
)
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.examples.guess_number_policies import (
    GuessingPolicy,
    HalvingPolicy,
    SteppingPolicy,
)
from agentcore.training.openenv.environments.task_routing import TaskRoutingEnv
from agentcore.training.openenv.environments.task_routing_policies import (
    RoutingByLabelPolicy,
    RoutingRandomPolicy,
    RoutingReferencePolicy,
)
from agentcore.training.openenv.policy import Policy, PolicyFactory, PolicySet

POLICIES: Mapping[str, PolicySet] = {
    A2AProtocolTestEnv.name: PolicySet(
        random=lambda seed: A2ARandomPolicy(chance(seed)),
        naive=lambda _: A2ANaivePolicy(),
        reference=lambda _: A2AReferencePolicy(),
    ),
    TaskRoutingEnv.name: PolicySet(
        random=lambda seed: RoutingRandomPolicy(chance(seed)),
        naive=lambda _: RoutingByLabelPolicy(),
        reference=lambda _: RoutingReferencePolicy(),
    ),
    CustomerServiceEnv.name: PolicySet(
        random=lambda seed: ServiceRandomPolicy(chance(seed)),
        naive=lambda _: ServiceByLabelPolicy(),
        reference=lambda _: ServiceReferencePolicy(),
    ),
    GuessNumber.name: PolicySet(
        random=lambda seed: GuessingPolicy(chance(seed)),
        naive=lambda _: SteppingPolicy(),
        reference=lambda _: HalvingPolicy(),
    ),
}


def chance(seed: int) -> Random:
    """A player's own luck: drawn apart from the environment's, which has the same seed."""
    return Random(f"policy {seed}")


@dataclass(frozen=True, slots=True)
class Score:
    """Mean episode reward and half the width of its 95 % interval."""

    mean: float
    margin: float
    episodes: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.margin:.2f} over {self.episodes} episodes"


def score(environment: AnyEnvironment, policy: PolicyFactory, seeds: Iterable[int]) -> Score:
    """Play one episode per seed; ``policy`` makes the player of a seed."""
    totals = [play(environment, policy(seed), seed) for seed in seeds]
    return Score(fmean(totals), 1.96 * stdev(totals) / math.sqrt(len(totals)), len(totals))


def play(environment: AnyEnvironment, policy: Policy, seed: int) -> float:
    """The total reward of one episode."""
    observation = environment.reset(seed)
    total = 0.0
    while True:
        step = environment.step(policy.act(observation))
        total += step.reward
        if step.terminated or step.truncated:
            return total
        observation = step.observation
