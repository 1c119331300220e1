from __future__ import annotations

from agentcore.a2a_protocol.card import EXTENSION, CardFacts, platform_card
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import ScriptedAgent, at

URL = "https://agents.example/a2a"


def card(config: A2AConfig | None = None, *, auth: bool = True) -> JsonObject:
    facts = CardFacts(
        version="1.2.3",
        auth=auth,
        hosted=(
            Hosting(agent_id="poet", agent=ScriptedAgent(), name="Poet", description="Rhymes."),
            Hosting(agent_id="own", agent=ScriptedAgent(), skills=({"id": "s", "name": "S"},)),
        ),
        methods=("agent.register", "task.query"),
    )
    return platform_card(config or A2AConfig.model_validate({}), facts, URL)


def test_both_versions_at_one_url() -> None:
    assert card()["supportedInterfaces"] == [
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ]
    only = card(A2AConfig.model_validate({"protocol_0_3": False}))
    assert only["supportedInterfaces"] == [
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ]


def test_our_methods_are_an_extension_that_nobody_must_know() -> None:
    declared = at(card(), "capabilities", "extensions", 0)
    assert at(declared, "uri") == EXTENSION
    assert at(declared, "required") is False
    assert at(declared, "params") == {"methods": ["agent.register", "task.query"]}


def test_security_is_declared_where_it_is_enforced() -> None:
    protected = card()
    assert (
        at(protected, "securitySchemes", "bearer", "httpAuthSecurityScheme", "scheme") == "Bearer"
    )
    assert at(protected, "securitySchemes", "apiKey", "apiKeySecurityScheme", "name") == "x-api-key"
    # A list of requirements: fulfilling one is enough.
    assert at(protected, "securityRequirements", 0) == {"schemes": {"bearer": {"list": []}}}
    assert at(protected, "securityRequirements", 1) == {"schemes": {"apiKey": {"list": []}}}
    assert not {"securitySchemes", "securityRequirements"} & card(auth=False).keys()


def test_a_hosted_agent_is_a_skill_or_brings_its_own() -> None:
    skills = card()["skills"]
    assert isinstance(skills, list)
    named = [(at(skill, "id"), at(skill, "name")) for skill in skills]
    assert named == [("agent-registry", "Agent registry"), ("poet", "Poet"), ("s", "S")]
