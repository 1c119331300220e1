"""A2AProtocolTestEnv: discover agents, delegate tasks to them, answer theirs, keep the protocol.

Rewards: +2.0 a delegated task succeeds, -1.0 it fails (it stays pending) · +1.0 a right answer to
another agent's request, 0.0 declining it, -1.0 a wrong one · +0.5 a discovery that tells of an
agent not yet heard of, else 0.0 · -0.5 a protocol violation · -0.3 an unknown task or agent · -0.2
an agent without the capability. All tasks done, more than five violations or a forged sender
terminate the episode; the step limit only truncates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.training.openenv.environments.a2a_card import a2a_card
from agentcore.training.openenv.environments.a2a_message import fault_of
from agentcore.training.openenv.environments.a2a_simulation import (
    Request,
    SimulatedAgent,
    Task,
    simulated_agents,
    simulated_requests,
    simulated_tasks,
)
from agentcore.training.openenv.environments.a2a_spaces import ACTION_SPACE, OBSERVATION_SPACE
from agentcore.training.openenv.environments.base import Environment, Step
from agentcore.training.openenv.environments.options import count
from agentcore.training.openenv.models import Action

MOST_VIOLATIONS = 5
VIOLATION = -0.5
UNKNOWN = -0.3
INCAPABLE = -0.2
FAILED = -1.0
DELEGATED = 2.0
ANSWERED = 1.0
DISCOVERED = 0.5
# Responses shown besides the open requests: a prompt must not grow with the episode.
RECENT_MESSAGES = 3
MISSING_FIELDS = "Protocol violation: missing required fields"


@dataclass
class ProtocolState:
    completed_tasks: int = 0
    violations: int = 0
    open_requests: int = 0


class A2AProtocolTestEnv(Environment[Action, ProtocolState]):
    name = "a2a_protocol_test"
    description = (
        "Work through pending tasks in a society of simulated agents by the A2A protocol: "
        "discover agents, delegate each task to one that has the capability, answer requests."
    )
    reset_options: ClassVar[tuple[str, ...]] = ("num_tasks", "max_steps")

    def __init__(self) -> None:
        super().__init__()
        self.max_steps = 100
        self.num_simulated_agents = 5
        self.num_tasks = 10
        self.agents: list[SimulatedAgent] = []
        self.tasks: list[Task] = []
        self.requests: list[Request] = []
        self.messages: list[JsonObject] = []
        self.violations: list[str] = []
        self.critical = False
        self._heard_of: set[str] = set()
        self.max_episode_steps = self.max_steps

    @property
    def completed_tasks(self) -> int:
        return self.state.completed_tasks

    def action_space(self) -> JsonObject:
        return ACTION_SPACE

    def observation_space(self) -> JsonObject:
        return OBSERVATION_SPACE

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        num_tasks = count(options, "num_tasks", self.num_tasks, most=50)
        self.max_episode_steps = count(options, "max_steps", self.max_steps, most=1000)
        self.agents = simulated_agents(self.num_simulated_agents)
        self.tasks = simulated_tasks(num_tasks, random)
        self.requests = simulated_requests(self.agents, num_tasks, random)
        self.messages, self.violations = [], []
        self.critical = False
        self._heard_of = set()
        return self._observation()

    def act(self, action: Action) -> Step:
        faults: list[JsonValue] = []
        if action.type == "discover_agents":
            reward = self._discover(action.parameters, faults)
        elif action.type == "delegate_task":
            reward = self._delegate(action.parameters, faults)
        elif action.type == "respond_to_task":
            reward = self._respond(action.parameters, faults)
        else:
            reward = self._violation(f"Unknown action type: {action.type}", faults)
        reward += self._expire(faults)
        self.state.open_requests = len(self._open_requests())
        terminated = (
            self.critical
            or self.completed_tasks >= len(self.tasks)
            or len(self.violations) > MOST_VIOLATIONS
        )
        score = self.completed_tasks / len(self.tasks)
        info: JsonObject = {"violations": faults, "score": score}
        return Step(self._observation(), reward, terminated, info=info)

    def render(self) -> bytes:
        return a2a_card(self._observation())

    def _discover(self, params: JsonObject, faults: list[JsonValue]) -> float:
        wanted = params.get("capabilities")
        if not isinstance(wanted, list):
            return self._violation("Protocol violation: missing capabilities", faults)
        matching = [agent for agent in self.agents if agent.offers_any(wanted)]
        self._receive({"type": "discovery_response", "agents": [a.to_dict() for a in matching]})
        news = {agent.id for agent in matching} - self._heard_of
        self._heard_of |= news
        return DISCOVERED if news else 0.0

    def _delegate(self, params: JsonObject, faults: list[JsonValue]) -> float:
        if not {"task_id", "target_agent", "message"} <= params.keys():
            return self._violation(MISSING_FIELDS, faults)
        message = params["message"]
        if fault := fault_of(message):
            detail = f"Protocol violation: message is not an A2A message: {fault}"
            return self._violation(detail, faults)
        if (sender := _claimed_sender(message)) in {agent.id for agent in self.agents}:
            self.critical = True
            return self._violation(f"Critical protocol violation: forged sender {sender}", faults)
        task = next((t for t in self.tasks if t.id == params["task_id"] and not t.completed), None)
        if task is None:
            faults.append("Task not found")
            return UNKNOWN
        target = next((a for a in self.agents if a.id == params["target_agent"]), None)
        if target is None:
            faults.append("Target agent not found")
            return UNKNOWN
        if not target.can_handle(task):
            faults.append("Target agent cannot handle task")
            return INCAPABLE
        return self._execute(task, target)

    def _execute(self, task: Task, target: SimulatedAgent) -> float:
        response: JsonObject = {"type": "task_response", "task_id": task.id}
        if not task.attempt(target):
            self._receive({**response, "status": "failure", "error": "Task execution failed"})
            return FAILED
        self.state.completed_tasks += 1
        self._receive({**response, "status": "success", "result": task.result})
        return DELEGATED

    def _respond(self, params: JsonObject, faults: list[JsonValue]) -> float:
        status, result = params.get("status"), params.get("result")
        if "task_id" not in params or status not in ("success", "failure"):
            return self._violation(MISSING_FIELDS, faults)
        if status == "success" and not isinstance(result, dict):
            return self._violation(MISSING_FIELDS, faults)
        request = next((r for r in self._open_requests() if r.id == params["task_id"]), None)
        if request is None:
            faults.append("Task not found")
            return UNKNOWN
        request.closed = True
        if status == "failure":
            return 0.0
        return ANSWERED if request.solved_by(result) else FAILED

    def _expire(self, faults: list[JsonValue]) -> float:
        """Requests whose last step was this one and that nobody answered."""
        reward = 0.0
        for request in self._open_requests():
            if self.step_count >= request.expires:
                request.closed = True
                reward += self._violation("Task request left unanswered", faults)
        return reward

    def _violation(self, text: str, faults: list[JsonValue]) -> float:
        self.violations.append(text)
        self.state.violations = len(self.violations)
        faults.append(text)
        return VIOLATION

    def _receive(self, message: JsonObject) -> None:
        self.messages = [*self.messages, message][-RECENT_MESSAGES:]

    def _open_requests(self) -> list[Request]:
        return [r for r in self.requests if not r.closed and r.arrives <= self.step_count]

    def _observation(self) -> JsonObject:
        return {
            "available_agents": [agent.to_dict() for agent in self.agents],
            "pending_tasks": [task.to_dict() for task in self.tasks if not task.completed],
            "message_queue": [*(r.to_dict() for r in self._open_requests()), *self.messages],
            "protocol_state": {
                "step": self.step_count,
                "completed_tasks": self.completed_tasks,
                "violations": len(self.violations),
            },
        }


def _claimed_sender(message: JsonValue) -> JsonValue:
    return object_of(object_of(message).get("metadata")).get("source_agent")
