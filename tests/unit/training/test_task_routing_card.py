from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.task_routing import TaskRoutingEnv
from agentcore.training.openenv.environments.task_routing_card import routing_card


def test_success_failure_and_lateness_look_different() -> None:
    observation = TaskRoutingEnv().reset(0)
    result: JsonObject = {
        "task": "task-0",
        "type": "code",
        "agent": "agent-1",
        "success": False,
        "late": False,
        "latency": 4,
        "cost": 2,
    }
    outcomes: list[JsonObject] = [{}, {"success": True}, {"late": True}]
    cards = {
        routing_card({**observation, "results": [{**result, **outcome}]}, 1, 1)
        for outcome in outcomes
    }
    assert len(cards) == 3
