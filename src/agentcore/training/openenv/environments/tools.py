"""An environment's actions as tools: what its action space says, cut by action type."""

from __future__ import annotations

from typing import NamedTuple

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, list_of, object_of, objects_of

# OpenEnv forbids tools of these names: they are controls.
RESERVED = frozenset({"reset", "step", "state", "close", "list_tools", "call_tool"})
OBJECT: JsonObject = {"type": "object"}


class Tool(NamedTuple):
    """``name`` is an action type; ``input_schema`` is the JSON Schema of its parameters."""

    name: str
    description: str
    input_schema: JsonObject


def tools_of(action_space: JsonObject) -> list[Tool]:
    """One tool per action type that the schema names; none where it names no types."""
    shared = _member(action_space, "$defs")
    branches = dict(_branches(action_space.get("allOf")))
    # A space that takes every type and judges it later describes them as its definitions.
    named = _enum(action_space) or list(shared if not branches else {})
    found = []
    for kind in named:
        if kind in RESERVED:
            continue
        parameters = branches.get(kind) or object_of(shared.get(kind)) or OBJECT
        schema = _inlined(parameters, shared)
        found.append(Tool(kind, _description(kind, schema), schema))
    return found


def _inlined(parameters: JsonObject, shared: JsonObject) -> JsonObject:
    """With its members at the top, where a model looks; definitions only where it needs them."""
    target = parameters.get("$ref")
    if isinstance(target, str):
        parameters = {**object_of(shared.get(target.rpartition("/")[2])), **parameters}
        del parameters["$ref"]
    schema: JsonObject = {"type": "object", **parameters}
    if b'"$ref":"#/$defs/' in dumps(schema):
        schema["$defs"] = shared
    return schema


def _enum(action_space: JsonObject) -> list[str]:
    kinds = _member(action_space, "properties", "type")
    listed = kinds.get("enum", [kinds["const"]] if "const" in kinds else [])
    return [kind for kind in list_of(listed) if isinstance(kind, str)]


def _branches(branches: JsonValue) -> list[tuple[str, JsonObject]]:
    """Action type and schema of its parameters, as ``if`` and ``then`` pair them."""
    found = []
    for branch in objects_of(branches):
        kind = _member(branch, "if", "properties", "type").get("const")
        if isinstance(kind, str):
            found.append((kind, _member(branch, "then", "properties", "parameters")))
    return found


def _member(value: JsonObject, *path: str) -> JsonObject:
    for name in path:
        value = object_of(value.get(name))
    return value


def _description(kind: str, parameters: JsonObject) -> str:
    told = parameters.get("description")
    return told if isinstance(told, str) and told else f"Take the action {kind}."
