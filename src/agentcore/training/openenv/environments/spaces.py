"""Pieces of the JSON Schemas in which environments describe what they show."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue

STRING: JsonObject = {"type": "string"}
STRINGS: JsonObject = {"type": "array", "items": STRING}
COUNT: JsonObject = {"type": "integer", "minimum": 0}
FLAG: JsonObject = {"type": "boolean"}
PERCENT: JsonObject = {"type": "integer", "minimum": 0, "maximum": 100}


def record(properties: JsonObject, **more: JsonValue) -> JsonObject:
    """An object that has all ``properties``."""
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def listed(description: str, properties: JsonObject) -> JsonObject:
    """A list of records."""
    return {"type": "array", "description": description, "items": record(properties)}


def described(schema: JsonObject, description: str) -> JsonObject:
    return {**schema, "description": description}
