"""What a policy reads out of an observation; absent or of another kind is empty or 0."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, objects_of


def members(observation: JsonObject, name: str) -> list[JsonObject]:
    return objects_of(observation.get(name))


def strings(value: JsonValue) -> list[str]:
    return [item for item in list_of(value) if isinstance(item, str)]


def number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
