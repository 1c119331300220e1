from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.policies import play
from agentcore.training.openenv.environments.reading import members
from agentcore.training.openenv.environments.task_routing import TaskRoutingEnv
from agentcore.training.openenv.environments.task_routing_policies import (
    RoutingByLabelPolicy,
    RoutingReferencePolicy,
)
from agentcore.training.openenv.environments.task_routing_world import LONGEST_QUEUE

SEEDS = range(40)


class Deaf(RoutingReferencePolicy):
    """Knows queues and claims, and forgets what became of a task."""

    def _learn(self, results: Iterable[JsonObject], agents: Iterable[JsonObject]) -> None:
        super()._learn(results, agents)
        for known in self._agents.values():
            known.surprise = known.sound_at = 0.0


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


def test_where_all_queues_are_full_it_still_decides() -> None:
    env = TaskRoutingEnv()
    observation = env.reset(0)
    for agent in members(observation, "agents"):
        agent["queue"] = LONGEST_QUEUE
    assert RoutingReferencePolicy().act(observation).type == "routing_decision"


def test_slowness_gives_a_breakdown_away() -> None:
    env, policy = TaskRoutingEnv(), RoutingReferencePolicy()
    env.reset(0, {"num_tasks": 20})
    for agent in env.available_agents:
        agent.bias, agent.drift, agent.breaks_at = 0, 0, None
    best = env.available_agents[2]
    best.skills = dict.fromkeys(best.skills, 100)
    best.ticks_per_unit, best.price, best.breaks_at = 1, 0, 0
    wasted: JsonObject = {"task": "none", "target_agent": best.id}
    observation = env.step({"type": "routing_decision", "parameters": wasted}).observation
    observation = env.step(policy.act(observation)).observation
    assert members(observation, "results")[0]["agent"] == best.id
    assert policy.act(observation).parameters["target_agent"] != best.id
