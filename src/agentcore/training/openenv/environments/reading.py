"""What a policy reads out of an observation; absent or of another kind is empty or 0."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue


def members(observation: JsonObject, name: str) -> list[JsonObject]:
    value = observation.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def strings(value: JsonValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
