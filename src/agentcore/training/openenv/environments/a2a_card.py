"""The picture of A2AProtocolTestEnv: the society, its tasks and what it says."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.cards import Bar, Cell, Table, Verdict, card
from agentcore.training.openenv.environments.reading import members, number, strings


def a2a_card(observation: JsonObject) -> bytes:
    state = observation["protocol_state"]
    facts = {
        name.replace("_", " "): value
        for name, value in (state.items() if isinstance(state, dict) else ())
    }
    agents = Table(
        "Agents",
        {"agent": 2, "capabilities": 5, "success rate": 3},
        [_agent(agent) for agent in members(observation, "available_agents")],
    )
    tasks = Table(
        "Pending tasks",
        {"task": 2, "type": 5, "complexity": 3},
        [_task(task) for task in members(observation, "pending_tasks")],
    )
    messages = Table(
        "Message queue",
        {"message": 3, "about": 2, "says": 5},
        [_message(message) for message in members(observation, "message_queue")],
    )
    return card("A2A protocol test", facts, agents, tasks, messages)


def _agent(agent: JsonObject) -> list[Cell]:
    rate = number(agent["success_rate"])
    return [str(agent["id"]), ", ".join(strings(agent["capabilities"])), Bar(rate, f"{rate:.0%}")]


def _task(task: JsonObject) -> list[Cell]:
    complexity = number(task["complexity"])
    return [str(task["id"]), str(task["type"]), Bar(complexity, f"{complexity:.1f}")]


def _message(message: JsonObject) -> list[Cell]:
    kind, about = str(message["type"]), str(message.get("task_id", ""))
    says: Cell = "agents: " + ", ".join(str(each["id"]) for each in members(message, "agents"))
    if kind == "task_request":
        says = f"{message['source_agent']} asks until step {message['expires_at_step']}"
    elif kind == "task_response":
        says = Verdict(str(message["status"]), good=message["status"] == "success")
    return [kind, about, says]
