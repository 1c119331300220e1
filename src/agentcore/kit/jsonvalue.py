"""JSON as a type, parsed and written strictly (RFC 8259: UTF-8, no NaN, no duplicate surprises)."""

from __future__ import annotations

import orjson
from typing_extensions import TypeAliasType

# A named alias: pydantic cannot follow one that only refers to itself.
JsonValue = TypeAliasType(
    "JsonValue", "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)
JsonObject = dict[str, JsonValue]


def loads(data: bytes | str) -> JsonValue:
    """Parse one JSON document.

    Raises:
        ValueError: not JSON, not UTF-8, NaN or Infinity; the message names the position.
    """
    value: JsonValue = orjson.loads(data)
    return value


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON of plain values, dataclasses, UUIDs, enums and aware datetimes.

    Raises:
        TypeError: a value has no JSON form; a float that is not finite is written as null.
    """
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def object_of(value: JsonValue) -> JsonObject:
    """``value`` where it is an object; of anything else nothing is known."""
    return value if isinstance(value, dict) else {}


def list_of(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def objects_of(value: JsonValue) -> list[JsonObject]:
    """The objects of a list."""
    return [each for each in list_of(value) if isinstance(each, dict)]


def object_in(data: bytes) -> JsonObject:
    """The object that is written there; empty where it is anything else."""
    try:
        return object_of(loads(data))
    except ValueError:
        return {}


def nested_deeper(value: JsonValue, levels: int) -> bool:
    """Whether containers are nested more than ``levels`` deep; found without recursion."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(layer)
