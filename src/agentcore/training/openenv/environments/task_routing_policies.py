"""Players of ``task_routing``."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.reading import members, number
from agentcore.training.openenv.environments.task_routing import routing_quality
from agentcore.training.openenv.models import Action

# How fast the tracker forgets, and how many outcomes its trust in a claim is worth.
MEMORY = 0.8
TRUST = 2.5


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
        free = [agent for agent in agents if number(agent["queue"]) < 5]
        return route(task, max(free or agents, key=lambda agent: claim(agent, task)))


class RoutingReferencePolicy:
    """Weighs claims by what came of them lately, and foresees the wait in each queue.

    Of all pairs of task and agent it takes the one whose expected reward is the best, and which
    another tick of waiting would harm most.
    """

    def __init__(self) -> None:
        self._known: dict[str, JsonObject] = {}
        self._offsets: dict[str, tuple[float, float]] = {}
        self._free_at: dict[str, float] = {}

    def act(self, observation: JsonObject) -> Action:
        agents = {str(agent["id"]): agent for agent in members(observation, "agents")}
        self._learn(members(observation, "results")[-1:], agents)
        clock = number(observation["clock"])
        tasks = members(observation, "pending_tasks")
        self._known = {str(task["id"]): task for task in tasks}
        best = max(
            (self._worth(task, agent, clock), -index, str(task["id"]), str(agent["id"]))
            for index, task in enumerate(tasks)
            for agent in agents.values()
            if number(agent["queue"]) < 5
        )
        return route(self._known[best[2]], agents[best[3]])

    def _learn(self, results: Iterable[JsonObject], agents: dict[str, JsonObject]) -> None:
        for result in results:
            name, task = str(result["agent"]), self._known.get(str(result["task"]))
            if task is None:
                continue
            self._free_at[name] = number(task["arrived"]) + number(result["latency"])
            if result["late"]:
                continue
            surprise = (100.0 if result["success"] else 0.0) - claim(agents[name], task)
            total, weight = self._offsets.get(name, (0.0, 0.0))
            self._offsets[name] = (total * MEMORY + surprise, weight * MEMORY + 1.0)

    def _worth(self, task: JsonObject, agent: JsonObject, clock: float) -> float:
        name, size = str(agent["id"]), number(task["size"])
        total, weight = self._offsets.get(name, (0.0, 0.0))
        chance = min(0.98, max(0.02, (claim(agent, task) + total / (weight + TRUST)) / 100))
        end = max(clock, self._free_at.get(name, 0.0)) + size * number(agent["ticks_per_unit"])
        if end > number(task["deadline"]):
            chance = 0.0
        latency, cost = int(end - number(task["arrived"])), int(size * number(agent["price"]))
        good, bad = (
            routing_quality(latency=latency, success=success, cost=cost)
            for success in (True, False)
        )
        return chance * good + (1 - chance) * bad


def claim(agent: JsonObject, task: JsonObject) -> float:
    skills = agent["skills"]
    return number(skills.get(str(task["type"]))) if isinstance(skills, dict) else 0.0


def route(task: JsonObject, agent: JsonObject) -> Action:
    parameters: JsonObject = {"task": task["id"], "target_agent": agent["id"]}
    return Action(type="routing_decision", parameters=parameters)
