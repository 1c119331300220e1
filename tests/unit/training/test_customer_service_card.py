from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.customer_service import CustomerServiceEnv
from agentcore.training.openenv.environments.customer_service_card import service_card


def test_outcomes_look_different_and_may_be_nobodys() -> None:
    observation = CustomerServiceEnv().reset(0)
    told: JsonObject = {
        "tick": 3,
        "ticket": "ticket-0",
        "topic": "billing",
        "agent": None,
        "satisfaction": -1.0,
    }
    cards = {
        service_card({**observation, "outcomes": [{**told, "outcome": outcome}]}, 0, 1)
        for outcome in ("resolved", "reopened", "lost")
    }
    assert len(cards) == 3
