from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.a2a_card import a2a_card
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv


def test_each_kind_of_message_looks_different() -> None:
    observation = A2AProtocolTestEnv().reset(0)
    queue: list[JsonObject] = [
        {"type": "discovery_response", "agents": [{"id": "agent-1"}]},
        {"type": "task_request", "task_id": "r", "source_agent": "a", "expires_at_step": 6},
        {"type": "task_response", "task_id": "t", "status": "failure"},
        {"type": "task_response", "task_id": "t", "status": "success"},
    ]
    cards = []
    for message in queue:
        shown: list[JsonValue] = [message]
        cards.append(a2a_card({**observation, "message_queue": shown}))
    assert len(set(cards)) == len(queue)
