from __future__ import annotations

import pytest

from agentcore.a2a_protocol.card import CardFacts, platform_card
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.sdk.cards import for_both_versions, to_proto
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import at

OF_0_3 = {"url", "preferredTransport", "protocolVersion", "security"}


def card(*, both: bool) -> JsonObject:
    facts = CardFacts(version="1.0.0", auth=True, hosted=(), methods=("agent.register",))
    return platform_card(A2AConfig.model_validate({"protocol_0_3": both}), facts, "http://x/a2a")


@pytest.mark.parametrize("both", [True, False])
def test_the_sdk_reads_our_card(both: bool) -> None:
    made = to_proto(card(both=both))
    assert made.capabilities.streaming
    assert {each.url for each in made.supported_interfaces} == {"http://x/a2a"}
    assert set(made.security_schemes) == {"bearer", "apiKey"}


def test_clients_of_0_3_find_what_they_look_for() -> None:
    merged = for_both_versions(card(both=True))
    assert merged.keys() >= OF_0_3
    assert merged["url"] == "http://x/a2a"
    assert merged["security"] == [{"bearer": []}, {"apiKey": []}]
    assert at(merged, "securitySchemes", "bearer", "type") == "http"


def test_a_card_of_1_0_alone_has_nothing_of_0_3() -> None:
    merged = for_both_versions(card(both=False))
    assert not merged.keys() & OF_0_3
    scheme = at(merged, "securitySchemes", "bearer")
    assert isinstance(scheme, dict)
    assert list(scheme) == ["httpAuthSecurityScheme"]
