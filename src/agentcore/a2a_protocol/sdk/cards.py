"""Cards for the SDK, and the members that clients of A2A 0.3 look for."""

from __future__ import annotations

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import a2a_pb2 as pb

from agentcore.a2a_protocol.sdk.values import read_into
from agentcore.kit.jsonvalue import JsonObject


def to_proto(card: JsonObject) -> pb.AgentCard:
    made = pb.AgentCard()
    read_into(made, card)
    return made


def for_both_versions(card: JsonObject) -> JsonObject:
    """``card`` with the members of 0.3 beside those of 1.0, if it lists an interface of 0.3."""
    merged: JsonObject = agent_card_to_dict(to_proto(card))
    return merged
