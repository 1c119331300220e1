"""JSON as a type, parsed and written strictly (RFC 8259: UTF-8, no NaN, no duplicate surprises)."""

from __future__ import annotations

import json

import orjson
from typing_extensions import TypeAliasType

# A named alias: pydantic cannot follow one that only refers to itself.
JsonValue = TypeAliasType(
    "JsonValue", "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)
JsonObject = dict[str, JsonValue]
# Digits and a sign; all shorter ones fit into 64 bits.
LONGEST_INTEGER = 19


def loads(data: bytes | str) -> JsonValue:
    """Parse one JSON document.

    Raises:
        ValueError: not JSON, not UTF-8, NaN or Infinity; the message names the position.
    """
    value: JsonValue = orjson.loads(data)
    return value


def loads_leniently(data: bytes) -> JsonValue:
    """Parse what most clients would take of a careless server, too: NaN and infinities, and halves
    of characters, which become U+FFFD.

    Raises:
        ValueError: it is not JSON even so.
    """
    try:
        value: JsonValue = orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode("utf-8", "replace")
    else:
        return value
    try:
        return _mended(json.loads(text, parse_int=_number))
    except RecursionError as exc:
        raise ValueError("it is nested too deep") from exc


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


def _number(digits: str) -> int | float:
    """As the strict parser has it: what 64 bits do not hold is no whole number."""
    return int(digits) if len(digits) < LONGEST_INTEGER else float(digits)


def _mended(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return {str(_mended(name)): _mended(each) for name, each in value.items()}
    return value
