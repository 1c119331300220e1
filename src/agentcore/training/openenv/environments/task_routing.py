"""TaskRoutingEnv: decide which agent handles which task, by what agents do, not what they claim.

Agents claim skills, speed and a price. What they can do is hidden, drifts during the episode, and
now and then one breaks down: everything it begins then fails, and takes twice as long. Queues are
on show. Each step routes one task and takes one tick; its outcome is known at once.

The reward of a decision is ``routing_quality`` of its result. A decision that names no pending task
or no agent costs 0.3, a full queue 0.2: the task stays. All tasks routed terminates the episode;
two steps per task are its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import Field

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.base import Environment, Parameters, Step
from agentcore.training.openenv.environments.options import count
from agentcore.training.openenv.environments.task_routing_card import routing_card
from agentcore.training.openenv.environments.task_routing_spaces import OBSERVATION_SPACE
from agentcore.training.openenv.environments.task_routing_world import (
    LONGEST_QUEUE,
    RoutedAgent,
    RoutedTask,
    routed_agents,
    routed_tasks,
)

UNKNOWN = -0.3
REFUSED = -0.2
RECENT_RESULTS = 8


class RoutingDecision(Parameters):
    """Hand a pending task to an agent."""

    task: str = Field(description="The id of one of pending_tasks.", examples=["task-0"])
    target_agent: str = Field(description="The id of one of agents.", examples=["agent-0"])


@dataclass(frozen=True, slots=True)
class TaskResult:
    """``latency`` in ticks from the task's arrival to its end; ``success``: right and in time."""

    latency: int
    success: bool
    cost: int


@dataclass
class RoutingState:
    clock: int = 0
    routed: int = 0
    succeeded: int = 0
    cost: int = 0


def routing_quality(*, latency: int, success: bool, cost: int) -> float:
    """The reward of a routed task: +1 or -1, less 0.03 per tick and 0.02 per credit.

    Counted in hundredths, so that it is the same number everywhere.
    """
    return ((100 if success else -100) - 3 * latency - 2 * cost) / 100


class TaskRoutingEnv(Environment[RoutingDecision, RoutingState]):
    name = "task_routing"
    description = (
        "Route tasks to agents that claim skills, speed and a price: they drift, fail and queue, "
        "and only outcomes tell. Latency, success and cost make the reward."
    )
    reset_options: ClassVar[tuple[str, ...]] = ("num_tasks",)

    def __init__(self) -> None:
        super().__init__()
        self.num_tasks = 40
        self.tasks: list[RoutedTask] = []
        self.available_agents: list[RoutedAgent] = []
        self._results: list[JsonObject] = []
        self.max_episode_steps = 2 * self.num_tasks

    def observation_space(self) -> JsonObject:
        return OBSERVATION_SPACE

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        number = count(options, "num_tasks", self.num_tasks, most=200)
        self.max_episode_steps = 2 * number
        self.tasks = routed_tasks(random, number)
        self.available_agents = routed_agents(random, self.tasks[-1].arrived + 1)
        self._results = []
        return self._observation()

    def act(self, action: RoutingDecision) -> Step:
        reward, info = self._route(action)
        self._pass_time()
        info["score"] = self.state.succeeded / len(self.tasks)
        return Step(self._observation(), reward, self.state.routed == len(self.tasks), info=info)

    def render(self) -> bytes:
        return routing_card(self._observation(), self.state.routed, self.state.succeeded)

    def _route(self, action: RoutingDecision) -> tuple[float, JsonObject]:
        task = next((t for t in self._pending() if t.id == action.task), None)
        if task is None:
            return UNKNOWN, {"error": "Task not found"}
        agent = next((a for a in self.available_agents if a.id == action.target_agent), None)
        if agent is None:
            return UNKNOWN, {"error": "Target agent not found"}
        if agent.queue(self.state.clock) >= LONGEST_QUEUE:
            return REFUSED, {"error": "Target agent's queue is full"}
        done = self._execute_task(task, agent)
        reward = routing_quality(latency=done.latency, success=done.success, cost=done.cost)
        return reward, {"result": self._results[-1]}

    def _execute_task(self, task: RoutedTask, agent: RoutedAgent) -> TaskResult:
        start, end = agent.work(task.size, self.state.clock)
        late = end > task.deadline
        right = task.luck < agent.chance(task.type, start)
        result = TaskResult(end - task.arrived, right and not late, agent.price * task.size)
        task.routed = True
        self.state.routed += 1
        self.state.succeeded += result.success
        self.state.cost += result.cost
        told: JsonObject = {
            "task": task.id,
            "type": task.type,
            "agent": agent.id,
            "success": result.success,
            "late": late,
            "latency": result.latency,
            "cost": result.cost,
        }
        self._results = [*self._results, told][-RECENT_RESULTS:]
        return result

    def _pass_time(self) -> None:
        """One tick, or as many as it takes until there is something to route."""
        self.state.clock += 1
        waiting = [task.arrived for task in self.tasks if not task.routed]
        if waiting:
            self.state.clock = max(self.state.clock, waiting[0])

    def _pending(self) -> list[RoutedTask]:
        return [t for t in self.tasks if not t.routed and t.arrived <= self.state.clock]

    def _observation(self) -> JsonObject:
        clock = self.state.clock
        recent: list[JsonValue] = [*self._results]
        return {
            "clock": clock,
            "pending_tasks": [task.to_dict() for task in self._pending()],
            "agents": [agent.to_dict(clock) for agent in self.available_agents],
            "results": recent,
            "tasks_to_come": sum(not t.routed and t.arrived > clock for t in self.tasks),
        }
