"""The plainest value that a JSON Schema allows: what the model plays where it knows no better."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.simulators.prompt import MAX_DEPTH, Prompt, objects

_SCHEMA_KEYS = frozenset({"properties", "oneOf", "anyOf", "allOf", "$ref"})


def action_schema_in(prompt: Prompt) -> JsonObject | None:
    """The schema of the action that the prompt asks for: the one called so, else the last."""
    found: JsonObject | None = None
    for value in prompt.values:
        if not isinstance(value, dict):
            continue
        for candidate in objects(value):
            named = candidate.get("action") or candidate.get("action_schema")
            if isinstance(named, dict) and named.keys() & _SCHEMA_KEYS:
                return named
        if value.keys() & _SCHEMA_KEYS:
            found = value
    return found


def instance_of(schema: JsonObject) -> JsonValue:
    return _instance(schema, schema, 0)


def _instance(schema: JsonValue, root: JsonObject, depth: int) -> JsonValue:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if enum := _list(schema.get("enum")):
        return enum[0]
    if reference := schema.get("$ref"):
        return _instance(_resolve(str(reference), root), root, depth + 1)
    for key in ("oneOf", "anyOf", "allOf"):
        if options := _list(schema.get(key)):
            return _instance(options[0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: JsonObject, root: JsonObject, depth: int) -> JsonValue:
    declared = schema.get("type", "object" if "properties" in schema else None)
    kind = declared[0] if isinstance(declared, list) and declared else declared
    minimum = schema.get("minimum", 0)
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            count = schema.get("minItems", 0)
            size = count if isinstance(count, int) else 0
            return [_instance(schema.get("items"), root, depth + 1) for _ in range(min(size, 16))]
        case "string":
            return str(schema.get("title") or "simulated")
        case "integer" | "number":
            return minimum if isinstance(minimum, int | float) else 0
        case "boolean":
            return False
        case _:
            return None


def _object(schema: JsonObject, root: JsonObject, depth: int) -> JsonObject:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = _list(schema.get("required")) or list(properties)
    return {
        name: _instance(member, root, depth + 1)
        for name, member in properties.items()
        if name in required
    }


def _resolve(reference: str, root: JsonObject) -> JsonValue:
    value: JsonValue = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
