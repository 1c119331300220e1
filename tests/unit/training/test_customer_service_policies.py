from __future__ import annotations

from statistics import fmean

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.customer_service import CustomerServiceEnv
from agentcore.training.openenv.environments.customer_service_policies import (
    ServiceByLabelPolicy,
    ServiceReferencePolicy,
)
from agentcore.training.openenv.environments.policies import play
from agentcore.training.openenv.models import Action

SEEDS = range(40)


class Deaf(ServiceReferencePolicy):
    """Reads subjects, and never looks at what became of a ticket."""

    def act(self, observation: JsonObject) -> Action:
        return super().act({**observation, "outcomes": []})


def test_outcomes_are_worth_learning_from_and_labels_are_not_worth_trusting() -> None:
    env = CustomerServiceEnv()
    tracking = fmean(play(env, ServiceReferencePolicy(), seed) for seed in SEEDS)
    deaf = fmean(play(env, Deaf(), seed) for seed in SEEDS)
    greedy = fmean(play(env, ServiceByLabelPolicy(), seed) for seed in SEEDS)
    assert tracking > deaf + 2 > greedy + 10


def test_the_reference_assigns_only_what_waits() -> None:
    env, policy = CustomerServiceEnv(), ServiceReferencePolicy()
    observation, done = env.reset(3), False
    while not done:
        step = env.step(policy.act(observation))
        observation, done = step.observation, step.terminated or step.truncated
        assert step.info.get("error") in (None, "Support agent has too many open tickets")
