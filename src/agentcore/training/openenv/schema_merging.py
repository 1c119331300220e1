"""Two JSON Schemas as one that takes what both take. Pure.

Keywords that cannot be written as one stay in ``allOf``: the result is a JSON Schema again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import cast

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of

_LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_OBJECT_KEYWORDS = ("properties", "patternProperties", "additionalProperties")
_ARRAY_KEYWORDS = ("prefixItems", "items")
# They describe; the first one that says something is as good as the other.
_ANNOTATIONS = frozenset(
    {"title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly", "$defs"}
    | {"$comment", "$schema", "$id", "definitions", "discriminator", "format"}
)


class Contradiction(Exception):
    """No value fits, as far as can be seen; ``keyword`` is where."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


def merged(one: JsonObject, two: JsonObject) -> JsonObject:
    """Without applicators but ``allOf``: resolve and choose before.

    Raises:
        Contradiction: nothing fits both.
    """
    result: JsonObject = {**one}
    left: JsonObject = {}
    for keyword, value in two.items():
        if keyword in _OBJECT_KEYWORDS or keyword in _ARRAY_KEYWORDS:
            continue
        if keyword not in one or keyword in _ANNOTATIONS or one[keyword] == value:
            result.setdefault(keyword, value)
        elif keyword in _MERGERS:
            result[keyword] = _MERGERS[keyword](one[keyword], value)
        else:
            left[keyword] = value
    if left:
        result["allOf"] = [*list_of(result.get("allOf")), left]
    result.update(_objects(one, two))
    result.update(_arrays(one, two))
    return result


def both(one: JsonValue, two: JsonValue) -> JsonValue:
    """Two subschemas as one; their own applicators are left for later."""
    if one is False or two is False:
        return False
    if not isinstance(one, dict) or not one:
        return two
    if not isinstance(two, dict) or not two or one == two:
        return one
    return {"allOf": [one, two]}


def number_of(value: JsonValue) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def same(one: JsonValue, two: JsonValue) -> bool:
    """Equality of JSON values: 1 is 1.0 and is not true."""
    return isinstance(one, bool) == isinstance(two, bool) and one == two


def step_of(value: JsonValue) -> Fraction:
    """``multipleOf`` as it is written: 0.1 means a tenth."""
    return Fraction(str(value))


def _types(one: JsonValue, two: JsonValue) -> JsonValue:
    first, second = (list_of(each) or [each] for each in (one, two))
    kept = [kind for kind in first if kind in second or (kind == "integer" and "number" in second)]
    if "number" in first and "integer" in second and "integer" not in kept:
        kept.append("integer")
    if not kept:
        raise Contradiction("type")
    return kept


def _enums(one: JsonValue, two: JsonValue) -> JsonValue:
    kept = [each for each in list_of(one) if any(same(each, it) for it in list_of(two))]
    if not kept:
        raise Contradiction("enum")
    return kept


def _multiples(one: JsonValue, two: JsonValue) -> JsonValue:
    first, second = step_of(one), step_of(two)
    whole = Fraction(
        math.lcm(first.numerator * second.denominator, second.numerator * first.denominator),
        first.denominator * second.denominator,
    )
    try:
        return whole.numerator if whole.denominator == 1 else float(whole)
    except OverflowError as exc:
        raise Contradiction("multipleOf") from exc


def _union(one: JsonValue, two: JsonValue) -> JsonValue:
    first = list_of(one)
    return [*first, *(each for each in list_of(two) if each not in first)]


def _joined(one: JsonValue, two: JsonValue) -> JsonValue:
    return [*list_of(one), *list_of(two)]


def _larger(one: JsonValue, two: JsonValue) -> JsonValue:
    return max(cast("float", one), cast("float", two))


def _smaller(one: JsonValue, two: JsonValue) -> JsonValue:
    return min(cast("float", one), cast("float", two))


def _needs(one: JsonValue, two: JsonValue) -> JsonValue:
    first, second = object_of(one), object_of(two)
    return {**first, **{name: _union(first.get(name), needed) for name, needed in second.items()}}


_MERGERS: dict[str, Callable[[JsonValue, JsonValue], JsonValue]] = {
    "type": _types,
    "enum": _enums,
    "required": _union,
    "multipleOf": _multiples,
    "allOf": _joined,
    "dependentRequired": _needs,
    "uniqueItems": lambda one, two: one is True or two is True,
    "propertyNames": both,
    **dict.fromkeys(_LARGER, _larger),
    **dict.fromkeys(_SMALLER, _smaller),
}


def _objects(one: JsonObject, two: JsonObject) -> JsonObject:
    """Members that only one of them names fall under what the other says of all others."""
    result: JsonObject = {}
    mine, theirs = object_of(one.get("properties")), object_of(two.get("properties"))
    if mine or theirs:
        result["properties"] = {
            name: both(_member(one, name), _member(two, name)) for name in {**mine, **theirs}
        }
    patterns = {
        **object_of(two.get("patternProperties")),
        **object_of(one.get("patternProperties")),
    }
    if patterns:
        result["patternProperties"] = patterns
    if "additionalProperties" in one or "additionalProperties" in two:
        result["additionalProperties"] = both(
            one.get("additionalProperties", True), two.get("additionalProperties", True)
        )
    return result


def _member(schema: JsonObject, name: str) -> JsonValue:
    properties = object_of(schema.get("properties"))
    if name in properties:
        return properties[name]
    # With patterns, whether a name is an additional one is for the final check.
    return True if "patternProperties" in schema else schema.get("additionalProperties", True)


def _arrays(one: JsonObject, two: JsonObject) -> JsonObject:
    result: JsonObject = {}
    length = max(len(list_of(schema.get("prefixItems"))) for schema in (one, two))
    if length:
        result["prefixItems"] = [both(item_of(one, at), item_of(two, at)) for at in range(length)]
    if "items" in one or "items" in two:
        result["items"] = both(one.get("items", True), two.get("items", True))
    return result


def item_of(schema: JsonObject, at: int) -> JsonValue:
    """What the item at a position must fit."""
    prefix = list_of(schema.get("prefixItems"))
    return prefix[at] if at < len(prefix) else schema.get("items", True)
