"""Players of ``a2a_protocol_test``: what chance, a beginner and a good player do."""

from __future__ import annotations

from random import Random

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.a2a_message import text_message
from agentcore.training.openenv.environments.a2a_simulation import CAPABILITIES, OPERATIONS
from agentcore.training.openenv.environments.reading import members, number, strings
from agentcore.training.openenv.models import Action


class A2ARandomPolicy:
    """Well-formed actions with arguments taken at random from what is on show."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def act(self, observation: JsonObject) -> Action:
        choose = self._random.choice
        requests = open_requests(observation)
        kind = choose(("discover_agents", "delegate_task", "respond_to_task"))
        if kind == "respond_to_task" and requests:
            return respond(choose(requests), self._random.randint(1, 60))
        if kind == "discover_agents":
            return discover([choose(choose(CAPABILITIES))])
        agent = choose(members(observation, "available_agents"))
        return delegate(choose(members(observation, "pending_tasks")), agent)


class A2ANaivePolicy:
    """Asks who is there without saying for what, hands every task to the first agent."""

    def __init__(self) -> None:
        self._turn = 0

    def act(self, observation: JsonObject) -> Action:
        self._turn += 1
        if self._turn % 10 == 1:
            return Action(type="discover_agents")
        tasks = members(observation, "pending_tasks")
        agent = members(observation, "available_agents")[0]
        return delegate(tasks[self._turn % len(tasks)], agent)


class A2AReferencePolicy:
    """Answers requests first, hears of every agent once, delegates to the best capable agent."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def act(self, observation: JsonObject) -> Action:
        for request in open_requests(observation):
            return respond(request, solution(request))
        agents = members(observation, "available_agents")
        for agent in agents:
            capability = strings(agent["capabilities"])[0]
            if capability not in self._asked:
                self._asked.add(capability)
                return discover([capability])
        task = members(observation, "pending_tasks")[0]
        capable = [agent for agent in agents if task["type"] in strings(agent["capabilities"])]
        return delegate(task, max(capable, key=lambda agent: number(agent["success_rate"])))


def discover(capabilities: list[str]) -> Action:
    wanted: list[JsonValue] = list(capabilities)
    return Action(type="discover_agents", parameters={"capabilities": wanted})


def delegate(task: JsonObject, agent: JsonObject) -> Action:
    message = text_message(f"{task['id']}-delegation", f"Please do the {task['type']} task.")
    parameters: JsonObject = {
        "task_id": task["id"],
        "target_agent": agent["id"],
        "message": message,
    }
    return Action(type="delegate_task", parameters=parameters)


def respond(request: JsonObject, value: int) -> Action:
    result: JsonObject = {"value": value}
    parameters: JsonObject = {"task_id": request["task_id"], "status": "success", "result": result}
    return Action(type="respond_to_task", parameters=parameters)


def solution(request: JsonObject) -> int:
    """What a ``task_request`` of the message queue asks for."""
    match request:
        case {
            "message": {"parts": [*_, {"data": {"operation": str(name), "values": list(values)}}]}
        }:
            return OPERATIONS[name]([value for value in values if isinstance(value, int)])
        case _:
            raise ValueError(f"not a task request: {request}")


def open_requests(observation: JsonObject) -> list[JsonObject]:
    queue = members(observation, "message_queue")
    return [message for message in queue if message["type"] == "task_request"]
