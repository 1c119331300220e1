from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.a2a_protocol.models.agent_card import AgentCard

OF_1_0 = {
    "name": "Router",
    "description": "Routes.",
    "version": "2.0.0",
    "supportedInterfaces": [
        {"url": "https://x/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "capabilities": {"streaming": True, "pushNotifications": False, "extensions": []},
    "skills": [{"id": "route", "name": "Route", "tags": ["tickets"], "inputModes": ["text/plain"]}],
    "provider": {"organization": "Acme"},
}
OF_0_3 = {
    "name": "Router",
    "url": "https://x/",
    "preferredTransport": "JSONRPC",
    "protocolVersion": "0.3.0",
    "capabilities": {},
    "skills": [],
}


def test_a_card_of_1_0() -> None:
    card = AgentCard.model_validate(OF_1_0)
    assert card.endpoint() == {
        "url": "https://x/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
    }  # fmt: skip
    assert card.capability_names() == ("streaming",)
    assert card.model_dump(mode="json", by_alias=True, exclude_unset=True) == OF_1_0


def test_a_card_of_0_3() -> None:
    card = AgentCard.model_validate(OF_0_3)
    assert card.endpoint() == {
        "url": "https://x/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3.0",
    }  # fmt: skip


def test_capabilities_may_be_a_list_of_names() -> None:
    card = AgentCard.model_validate({"name": "a", "capabilities": ["debugging", "debugging", "x"]})
    assert card.capability_names() == ("debugging", "x")
    assert card.endpoint() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "a", "capabilities": "all"},
        {"name": "a", "capabilities": [""]},
        {"name": "a", "capabilities": ["x"] * 201},
        {"name": "a", "skills": [{"name": "no id"}]},
        {"name": "a", "skills": "none"},
        {"name": "a", "supportedInterfaces": [{}]},
    ],
)
def test_cards_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AgentCard.model_validate(wrong)
