"""Players of ``task_routing``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.reading import members, number
from agentcore.training.openenv.environments.task_routing import routing_quality
from agentcore.training.openenv.environments.task_routing_world import LONGEST_QUEUE
from agentcore.training.openenv.models import Action

# How fast the tracker forgets, and how many outcomes its trust in a claim is worth.
MEMORY = 0.8
TRUST = 2.5
# Ticks for which a breakdown is expected to go on once it shows.
BREAKDOWN = 7


class RoutingRandomPolicy:
    """Any pending task to any agent."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def act(self, observation: JsonObject) -> Action:
        task = self._random.choice(members(observation, "pending_tasks"))
        return route(task, self._random.choice(members(observation, "agents")))


class RoutingByLabelPolicy:
    """The oldest task to whoever claims most skill for it and still takes tasks."""

    def act(self, observation: JsonObject) -> Action:
        task = members(observation, "pending_tasks")[0]
        agents = members(observation, "agents")
        free = [agent for agent in agents if number(agent["queue"]) < LONGEST_QUEUE]
        return route(task, max(free or agents, key=lambda agent: claim(task, agent)))


@dataclass
class Acquaintance:
    """What has been learnt of an agent: how far claims deceive, and when it is free and sound."""

    surprise: float = 0.0
    weight: float = 0.0
    free_at: float = 0.0
    sound_at: float = 0.0


class RoutingReferencePolicy:
    """Weighs claims by what came of them lately, foresees queues, knows a breakdown by its pace.

    Of all pairs of task and agent it takes the one whose expected reward is the best.
    """

    def __init__(self) -> None:
        self._agents: dict[str, Acquaintance] = defaultdict(Acquaintance)
        self._tasks: dict[str, JsonObject] = {}
        self._clock = 0.0

    def act(self, observation: JsonObject) -> Action:
        agents = members(observation, "agents")
        self._learn(members(observation, "results")[-1:], agents)
        self._clock = number(observation["clock"])
        tasks = members(observation, "pending_tasks")
        self._tasks = {str(task["id"]): task for task in tasks}
        free = [agent for agent in agents if number(agent["queue"]) < LONGEST_QUEUE]
        pairs = [(task, agent) for task in tasks for agent in free or agents]
        return route(*max(pairs, key=lambda pair: self._worth(*pair)))

    def _learn(self, results: Iterable[JsonObject], agents: Iterable[JsonObject]) -> None:
        by_id = {str(agent["id"]): agent for agent in agents}
        for result in results:
            task = self._tasks.get(str(result["task"]))
            if task is None:
                continue
            agent = by_id[str(result["agent"])]
            known = self._agents[str(agent["id"])]
            start = max(self._clock, known.free_at)
            known.free_at = number(task["arrived"]) + number(result["latency"])
            if known.free_at - start > _duration(task, agent):
                known.sound_at = start + BREAKDOWN
            elif not result["late"]:
                surprise = (100.0 if result["success"] else 0.0) - claim(task, agent)
                known.surprise = known.surprise * MEMORY + surprise
                known.weight = known.weight * MEMORY + 1.0

    def _worth(self, task: JsonObject, agent: JsonObject) -> float:
        known = self._agents[str(agent["id"])]
        start = max(self._clock, known.free_at)
        sound = start >= known.sound_at
        end = start + _duration(task, agent) * (1 if sound else 2)
        chance = (claim(task, agent) + known.surprise / (known.weight + TRUST)) / 100
        chance = min(0.98, max(0.02, chance)) if sound and end <= number(task["deadline"]) else 0.0
        latency = int(end - number(task["arrived"]))
        cost = int(number(task["size"]) * number(agent["price"]))
        good, bad = (
            routing_quality(latency=latency, success=success, cost=cost)
            for success in (True, False)
        )
        return chance * good + (1 - chance) * bad


def _duration(task: JsonObject, agent: JsonObject) -> float:
    return number(task["size"]) * number(agent["ticks_per_unit"])


def claim(task: JsonObject, agent: JsonObject) -> float:
    skills = agent["skills"]
    return number(skills.get(str(task["type"]))) if isinstance(skills, dict) else 0.0


def route(task: JsonObject, agent: JsonObject) -> Action:
    parameters: JsonObject = {"task": task["id"], "target_agent": agent["id"]}
    return Action(type="routing_decision", parameters=parameters)
