"""A server's JSON Schemas: whether they are some, what fits them, and what does not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema_rs

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, list_of, object_of
from agentcore.training.openenv.encoding import validator_of

LONGEST_FAULT = 200
# What no type coercion of a careful server turns into a scalar.
_WRONG: tuple[JsonValue, ...] = ({"un": "heard of"}, [["x"]], "x", 17.5)
UNHEARD = "unheard_of"


def schema_fault(schema: JsonValue) -> str | None:
    """Why ``schema`` is no JSON Schema (draft 2020-12)."""
    if not isinstance(schema, dict):
        return "no object"
    try:
        validator_of(dumps(schema))
    except ValueError as exc:
        return _told(exc)
    return None


def value_fault(schema: JsonValue, value: JsonValue) -> str | None:
    """Where ``value`` does not fit; None also where the schema is none."""
    try:
        validator = validator_of(dumps(object_of(schema)))
    except ValueError:
        return None
    try:
        faults = iter(validator.iter_errors(value))
        first = next(faults, None)
    except ValueError as exc:
        # A name that is no Unicode text: nothing that could be judged.
        return _told(exc)
    return None if first is None else _told(first)


def _told(fault: ValueError) -> str:
    if not isinstance(fault, jsonschema_rs.ValidationError):
        return str(fault)[:LONGEST_FAULT]
    place = ".".join(["$", *map(str, fault.instance_path)])
    return f"{place}: {fault.message}"[:LONGEST_FAULT]


def unfit(schema: JsonObject, action: JsonObject) -> JsonObject | None:
    """``action`` changed so that ``schema`` refuses it; None where it takes everything."""
    candidates = (
        candidate for candidate in _changed(schema, action) if value_fault(schema, candidate)
    )
    return next(candidates, None)


def _changed(schema: JsonObject, action: JsonObject) -> Iterator[JsonObject]:
    for name in list_of(schema.get("required")):
        yield {member: value for member, value in action.items() if member != name}
    yield {**action, UNHEARD: 1}
    for name in object_of(schema.get("properties")):
        for value in _WRONG:
            yield {**action, name: value}


def filled(schema: JsonObject, action: JsonObject, text: str) -> JsonObject:
    """``action`` with ``text`` in it, still fitting where that can be."""
    places = (
        {**action, "metadata": {**object_of(action.get("metadata")), "note": text}},
        *({**action, name: value} for name, value in _replaced(action, text)),
    )
    fitting = (place for place in places if value_fault(schema, place) is None)
    return next(fitting, {**action, UNHEARD: text})


def _replaced(members: JsonObject, text: str) -> Iterator[tuple[str, JsonValue]]:
    for name, value in members.items():
        if isinstance(value, str):
            yield name, text
        elif isinstance(value, dict):
            for inner, changed in _replaced(value, text):
                yield name, {**value, inner: changed}


def canonical(value: JsonValue) -> bytes:
    """Equal for equal values, also where NaN is in them, or what only Python's JSON can write."""
    return json.dumps(value).encode()
