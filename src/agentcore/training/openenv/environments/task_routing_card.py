"""The picture of TaskRoutingEnv: what a router sees."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.cards import Bar, Cell, Table, Verdict, card
from agentcore.training.openenv.environments.reading import members, number
from agentcore.training.openenv.environments.task_routing_world import LONGEST_QUEUE, TYPES


def routing_card(observation: JsonObject, routed: int, succeeded: int) -> bytes:
    facts = {
        "tick": observation["clock"],
        "routed": routed,
        "succeeded": succeeded,
        "to come": observation["tasks_to_come"],
    }
    agents = Table(
        "Agents, by their own account",
        {"agent": 4, **dict.fromkeys(TYPES, 5), "ticks/unit": 3, "price": 2, "queue": 4},
        [_agent(agent) for agent in members(observation, "agents")],
    )
    clock = number(observation["clock"])
    tasks = Table(
        "Waiting tasks",
        {"task": 3, "type": 3, "size": 2, "waits for": 3, "ticks to deadline": 3},
        [
            [
                str(task["id"]),
                str(task["type"]),
                str(task["size"]),
                f"{clock - number(task['arrived']):.0f} ticks",
                f"{number(task['deadline']) - clock:.0f}",
            ]
            for task in members(observation, "pending_tasks")
        ],
    )
    results = Table(
        "Latest results",
        {"task": 3, "type": 3, "agent": 3, "outcome": 2, "latency": 2, "cost": 2},
        [_result(result) for result in reversed(members(observation, "results"))],
    )
    return card("Task routing", facts, agents, tasks, results)


def _agent(agent: JsonObject) -> list[Cell]:
    skills = agent["skills"] if isinstance(agent["skills"], dict) else {}
    claims = [number(skills[kind]) for kind in TYPES]
    queue = number(agent["queue"])
    return [
        str(agent["id"]),
        *(Bar(claim / 100, f"{claim:.0f}%") for claim in claims),
        str(agent["ticks_per_unit"]),
        str(agent["price"]),
        Bar(queue / LONGEST_QUEUE, f"{queue:.0f}"),
    ]


def _result(result: JsonObject) -> list[Cell]:
    word = "success" if result["success"] else "late" if result["late"] else "failure"
    return [
        str(result["task"]),
        str(result["type"]),
        str(result["agent"]),
        Verdict(word, good=word == "success"),
        f"{result['latency']} ticks",
        str(result["cost"]),
    ]
