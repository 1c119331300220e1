"""What TaskRoutingEnv shows, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.spaces import (
    COUNT,
    FLAG,
    PERCENT,
    STRING,
    described,
    listed,
    record,
)
from agentcore.training.openenv.environments.task_routing_world import LONGEST_QUEUE, TYPES

_TYPE: JsonObject = {"type": "string", "enum": list(TYPES)}

OBSERVATION_SPACE: JsonObject = record(
    {
        "clock": described(COUNT, "The present tick."),
        "pending_tasks": listed(
            "Tasks that wait for a decision.",
            {
                "id": STRING,
                "type": _TYPE,
                "size": described(COUNT, "Units of work."),
                "arrived": described(COUNT, "The tick at which its latency began to count."),
                "deadline": described(COUNT, "The last tick at which its end is a success."),
            },
        ),
        "agents": listed(
            f"What agents claim, and how many tasks each still has (at most {LONGEST_QUEUE}).",
            {
                "id": STRING,
                "skills": record(
                    dict.fromkeys(TYPES, PERCENT),
                    description="Claimed percentage of successes by task type.",
                ),
                "ticks_per_unit": COUNT,
                "price": described(COUNT, "Credits per unit of work."),
                "queue": COUNT,
            },
        ),
        "results": listed(
            "What became of the tasks routed last, the latest at the end.",
            {
                "task": STRING,
                "type": _TYPE,
                "agent": STRING,
                "success": FLAG,
                "late": described(FLAG, "It ended after its deadline."),
                "latency": COUNT,
                "cost": COUNT,
            },
        ),
        "tasks_to_come": described(COUNT, "Tasks that have not arrived yet."),
    },
    title="TaskRoutingObservation",
)
