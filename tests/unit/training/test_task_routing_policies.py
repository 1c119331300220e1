from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.policies import play
from agentcore.training.openenv.environments.task_routing import TaskRoutingEnv
from agentcore.training.openenv.environments.task_routing_policies import (
    RoutingByLabelPolicy,
    RoutingReferencePolicy,
)

SEEDS = range(60)


class Deaf(RoutingReferencePolicy):
    """Knows queues and claims, and forgets whether a task succeeded."""

    def _learn(self, results: Iterable[JsonObject], agents: dict[str, JsonObject]) -> None:
        super()._learn(results, agents)
        self._offsets.clear()


def test_outcomes_are_worth_learning_from_and_labels_are_not_worth_trusting() -> None:
    env = TaskRoutingEnv()
    tracking = fmean(play(env, RoutingReferencePolicy(), seed) for seed in SEEDS)
    deaf = fmean(play(env, Deaf(), seed) for seed in SEEDS)
    greedy = fmean(play(env, RoutingByLabelPolicy(), seed) for seed in SEEDS)
    assert tracking > deaf + 2 > greedy + 10


def test_the_reference_never_asks_for_what_is_not_there() -> None:
    env, policy = TaskRoutingEnv(), RoutingReferencePolicy()
    observation, done = env.reset(3), False
    while not done:
        step = env.step(policy.act(observation))
        observation, done = step.observation, step.terminated or step.truncated
        assert "error" not in step.info
    assert env.step_count == env.num_tasks
