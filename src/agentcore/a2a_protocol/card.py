"""Agent cards (A2A 1.0): what an endpoint speaks, and what it asks of callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.agent import AgentRecord
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.handover import EXTENSION as HANDOVER
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of

EXTENSION = "urn:agentcore:ext/agentcore-rpc/v1"
EXTENSIONS = (EXTENSION, HANDOVER)
MEDIA_TYPES: list[JsonValue] = ["text/plain", "application/json"]
DELEGATION: JsonObject = {
    "uri": HANDOVER,
    "description": "Chain, trace, deadline, budget and privacy class of tasks that are handed on.",
    "required": False,
}
REGISTRY_SKILL: JsonObject = {
    "id": "agent-registry",
    "name": "Agent registry",
    "description": "Registers agents and finds them by capability, skill and free text.",
    "tags": ["registry", "discovery"],
    "examples": ['{"method": "agent.discover", "params": {"capabilities": ["summarization"]}}'],
}

OLD_SCHEMES: dict[str, JsonObject] = {
    "bearer": {"type": "http", "scheme": "Bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
ABOUT_SCHEMES = {
    "bearer": "A token with the scope a2a, made by: agentcore token",
    "apiKey": "A virtual API key with the scope a2a.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card depends on beyond its configuration."""

    version: str
    auth: bool
    hosted: Sequence[Hosting]
    methods: Sequence[str]


def platform_card(config: A2AConfig, facts: CardFacts, url: str) -> JsonObject:
    """``url`` is the absolute address of the JSON-RPC endpoint."""
    skills = [REGISTRY_SKILL, *(skill for hosting in facts.hosted for skill in _skills(hosting))]
    card: JsonObject = {
        "name": config.name,
        "description": config.description,
        "skills": list(skills),
    }
    return _card(config, facts, url, card, extended=True)


def agent_card(config: A2AConfig, facts: CardFacts, url: str, hosting: Hosting) -> JsonObject:
    """The card of one hosted agent; ``url`` is the address of its own endpoint."""
    card: JsonObject = {
        "name": hosting.name or hosting.agent_id,
        "description": hosting.description or f"The agent {hosting.agent_id} of {config.name}.",
        "skills": list(_skills(hosting)),
    }
    return _card(config, facts, url, card, extended=False)


def extended_card(card: JsonObject, agents: Sequence[AgentRecord]) -> JsonObject:
    """``card`` with the agents that the caller's tenant has registered, each as a skill."""
    known = objects_of(card["skills"])
    return {**card, "skills": [*known, *(_registered(agent) for agent in agents)]}


def _card(
    config: A2AConfig, facts: CardFacts, url: str, about: JsonObject, *, extended: bool
) -> JsonObject:
    versions = ["1.0", "0.3"] if config.protocol_0_3 else ["1.0"]
    card: JsonObject = {
        **about,
        "version": facts.version,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}
            for version in versions
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": config.push,
            "extendedAgentCard": extended and facts.auth,
            "extensions": [_extension(facts.methods), DELEGATION],
        },
        "defaultInputModes": MEDIA_TYPES,
        "defaultOutputModes": MEDIA_TYPES,
    }
    secured = {**card, **_security()} if facts.auth else card
    return with_previous(secured, url) if config.protocol_0_3 else secured


def with_previous(card: JsonObject, url: str) -> JsonObject:
    """``card`` with the members that clients of 0.3 look for, beside those of 1.0."""
    old: JsonObject = {"url": url, "preferredTransport": "JSONRPC", "protocolVersion": "0.3"}
    if object_of(card["capabilities"])["extendedAgentCard"]:
        old["supportsAuthenticatedExtendedCard"] = True
    if "securitySchemes" in card:
        old["security"] = [{"bearer": []}, {"apiKey": []}]
        old["securitySchemes"] = {
            # Readers of both versions must find the same in either form: it is signed.
            name: {**object_of(scheme), **OLD_SCHEMES[name], "description": ABOUT_SCHEMES[name]}
            for name, scheme in object_of(card["securitySchemes"]).items()
        }
    return {**card, **old}


def _extension(methods: Sequence[str]) -> JsonObject:
    return {
        "uri": EXTENSION,
        "description": "Further JSON-RPC methods at the same URL: agents, tasks, environments.",
        "required": False,
        "params": {"methods": list(methods)},
    }


def _skills(hosting: Hosting) -> list[JsonObject]:
    """A skill per hosted agent, unless it brings its own: clients route by ``agent_id``."""
    if hosting.skills:
        return list(hosting.skills)
    return [
        {
            "id": hosting.agent_id,
            "name": hosting.name or hosting.agent_id,
            "description": hosting.description
            or f"Answers messages whose metadata say agent_id = {hosting.agent_id}.",
            "tags": ["agent"],
        }
    ]


def _registered(agent: AgentRecord) -> JsonObject:
    return {
        "id": agent.agent_id,
        "name": agent.name,
        "description": agent.description or f"Registered as {agent.agent_id}: agent.discover.",
        "tags": list(agent.capabilities) or ["agent"],
    }


def _security() -> JsonObject:
    # Two requirements in the list: either of them suffices.
    return {
        "securitySchemes": {
            "bearer": {
                "httpAuthSecurityScheme": {
                    "scheme": "Bearer",
                    "bearerFormat": "JWT",
                    "description": ABOUT_SCHEMES["bearer"],
                }
            },
            "apiKey": {
                "apiKeySecurityScheme": {
                    "location": "header",
                    "name": "x-api-key",
                    "description": ABOUT_SCHEMES["apiKey"],
                }
            },
        },
        "securityRequirements": [
            {"schemes": {"bearer": {"list": []}}},
            {"schemes": {"apiKey": {"list": []}}},
        ],
    }
