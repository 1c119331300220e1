"""Values that fit a JSON Schema (draft 2020-12): actions to play where nobody knows the game."""

from __future__ import annotations

import math
import string
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import cast

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, list_of, loads, object_of
from agentcore.training.openenv.encoding import (
    LIST_TOOLS,
    ActionEncoder,
    encoding_of,
    fetch_nothing,
)
from agentcore.training.openenv.errors import OpenEnvInvalidActionError, SchemaNotSampleable
from agentcore.training.openenv.models import Action, EnvironmentInfo
from agentcore.training.openenv.patterns import PatternTooHard, matching
from agentcore.training.openenv.schema_merging import (
    Contradiction,
    item_of,
    merged,
    number_of,
    step_of,
)

ROOT = "urn:agentcore:schema"
TRIES = 60
TRIES_INSIDE = 8
MOST_WORK = 20_000
# Beyond the first depth only what must be there; beyond the second nothing.
SPARSE_DEPTH, DEEPEST = 5, 40
SPAN = 100
SCHEMAS_KEPT = 64
LONGEST_REASON = 300
# A foreign schema must not fill this process's memory.
LONGEST_TEXT = 1024 * 1024
LETTERS = string.ascii_lowercase
# Their values are data and no schemas.
_DATA = frozenset({"enum", "const", "examples", "default"})
# What is built may break these, so it is checked on the spot and built again.
_CHECKED = frozenset(
    {"allOf", "uniqueItems", "contains", "propertyNames", "patternProperties", "pattern"}
    | {"dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "multipleOf"}
    | {"maxProperties", "maxContains", "minContains"}
)
_KINDS = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_FORMATS: dict[str, str] = {
    "date-time": r"20[0-3]\d-(0[1-9]|1[0-2])-([01][1-9]|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ",
    "date": r"20[0-3]\d-(0[1-9]|1[0-2])-([01][1-9]|2[0-8])",
    "time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ",
    "email": r"[a-z]{3,8}@example\.com",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
    "uri": r"https://example\.com/[a-z]{1,8}",
    "hostname": r"[a-z]{1,8}\.example\.com",
    "ipv4": r"192\.0\.2\.[1-9]",
}


def sample(schema: JsonObject, random: Random) -> JsonValue:
    """A value that fits ``schema``; the same for the same schema and state of ``random``.

    Raises:
        SchemaNotSampleable: none was found; ``keyword`` says what stood in the way.
    """
    try:
        return _Drawing(_compiled(dumps(schema)), random).value()
    except RecursionError as exc:
        raise SchemaNotSampleable("schema", "it is nested too deeply") from exc


def sample_action(info: EnvironmentInfo, random: Random) -> Action:
    """An action that ``ActionEncoder`` writes into something that fits the action space.

    A server of tools is asked for their list, unless its schema names them.

    Raises:
        SchemaNotSampleable: none was found.
    """
    space = info.action_space
    encoder, encoding = ActionEncoder(space), encoding_of(space)
    properties = object_of(space.get("properties"))
    named = "tool_name" if encoding == "tool" else "type"
    if encoding == "tool" and not {"enum", "const"} & set(object_of(properties.get("tool_name"))):
        return Action(type=LIST_TOOLS)
    if named in properties:
        wanted: JsonObject = {"properties": {named: {"type": "string", "minLength": 1}}}
        space = {**space, "allOf": [*list_of(space.get("allOf")), wanted]}
    for _ in range(TRIES):
        action = _action(object_of(sample(space, random)), encoding, str(space.get("title", "")))
        try:
            encoder.encode(action)
        except OpenEnvInvalidActionError:
            continue
        return action
    raise SchemaNotSampleable("properties")


def _action(payload: JsonObject, encoding: str, title: str) -> Action:
    metadata = object_of(payload.get("metadata"))
    if encoding == "typed":
        kind, parameters = payload.get("type"), object_of(payload.get("parameters"))
    elif encoding == "tool":
        kind, parameters = payload.get("tool_name"), object_of(payload.get("arguments"))
    else:
        # An empty metadata may be a required one: it stays among the members.
        taken = {"type", "metadata"} if metadata else {"type"}
        kind = payload.get("type", title or "action")
        parameters = {name: value for name, value in payload.items() if name not in taken}
    return Action(type=str(kind or "action"), parameters=parameters, metadata=metadata)


class _Compiled:
    """A schema that is known to be one, and the means to check parts of it by themselves."""

    def __init__(self, schema: JsonObject) -> None:
        import jsonschema_rs  # noqa: PLC0415 - 3 MiB, for processes that play

        self._validator = jsonschema_rs.Draft202012Validator
        self.root = cast("JsonObject", _rooted(schema))
        try:
            self._validator(schema, retriever=fetch_nothing)
            self._registry = jsonschema_rs.Registry([(ROOT, self.root)])
        except jsonschema_rs.ValidationError as exc:
            keyword = "$ref" if exc.kind.name == "$ref" else "schema"
            raise SchemaNotSampleable(keyword, exc.message[:LONGEST_REASON]) from exc
        except ValueError as exc:
            raise SchemaNotSampleable("schema", str(exc)[:LONGEST_REASON]) from exc

    def fault(self, schema: JsonValue, value: JsonValue) -> str | None:
        """The keyword of ``schema`` that ``value`` breaks first."""
        if not isinstance(schema, dict):
            return "false" if schema is False else None
        try:
            validator = self._validator(schema, registry=self._registry)
            if validator.is_valid(value):
                return None
            return next(iter(validator.iter_errors(value))).kind.name
        except ValueError as exc:
            raise SchemaNotSampleable("schema", str(exc)[:LONGEST_REASON]) from exc

    def resolve(self, reference: str) -> JsonValue:
        head, _, pointer = reference.partition("#")
        target: JsonValue = self.root
        if head not in {"", ROOT}:
            raise SchemaNotSampleable("$ref", f"{reference} is not in the schema itself")
        for part in pointer.split("/")[1:] if pointer else []:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            elif isinstance(target, dict) and name in target:
                target = target[name]
            else:
                raise SchemaNotSampleable("$ref", f"{reference} leads nowhere")
        if pointer and not pointer.startswith("/"):
            raise SchemaNotSampleable("$ref", f"{reference} is no JSON pointer")
        return target


@lru_cache(maxsize=SCHEMAS_KEPT)
def _compiled(text: bytes) -> _Compiled:
    return _Compiled(cast("JsonObject", loads(text)))


def _rooted(schema: JsonValue) -> JsonValue:
    """References by the root's name: then a part of the schema means the same on its own."""
    if isinstance(schema, list):
        return [_rooted(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result: JsonObject = {}
    for keyword, value in schema.items():
        if keyword == "$ref" and isinstance(value, str) and value.startswith("#"):
            result[keyword] = ROOT + value
        elif keyword != "$id" or not isinstance(value, str):
            result[keyword] = value if keyword in _DATA else _rooted(value)
    return result


class _Drawing:
    def __init__(self, compiled: _Compiled, random: Random) -> None:
        self._compiled = compiled
        self._random = random
        self._work = 0

    def value(self) -> JsonValue:
        stood_in_the_way = "schema"
        for _ in range(TRIES):
            try:
                value = self._any(self._compiled.root, 0)
            except Contradiction as exc:
                stood_in_the_way = exc.keyword
            else:
                fault = self._compiled.fault(self._compiled.root, value)
                if fault is None:
                    return value
                stood_in_the_way = fault
            if self._work > MOST_WORK:
                break
        raise SchemaNotSampleable(stood_in_the_way)

    def _any(self, schema: JsonValue, depth: int) -> JsonValue:
        self._work += 1
        if depth > DEEPEST or self._work > MOST_WORK:
            raise Contradiction("$ref")
        shown = list_of(object_of(schema).get("examples"))
        if shown and self._random.random() < 0.5:
            example = self._random.choice(shown)
            if self._compiled.fault(schema, example) is None:
                return example
        last = "schema"
        for _ in range(TRIES_INSIDE):
            flat = self._flat(schema, depth)
            value = self._fitting(flat, depth)
            fault = self._compiled.fault(flat, value) if _CHECKED & flat.keys() else None
            if fault is None:
                return value
            last = fault
        raise Contradiction(last)

    def _flat(self, schema: JsonValue, depth: int) -> JsonObject:
        """Without references and choices; conditions and exclusions stay in ``allOf``."""
        if not isinstance(schema, dict):
            if schema is False:
                raise Contradiction("false")
            return {}
        if depth > DEEPEST:
            raise Contradiction("$ref")
        moved = {"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "not", "const"}
        flat: JsonObject = {name: value for name, value in schema.items() if name not in moved}
        if "const" in schema:
            flat = merged(flat, {"enum": [schema["const"]]})
        groups = (("if", "then", "else"), ("not",), ("oneOf",))
        kept: list[JsonValue] = [
            {name: schema[name] for name in names if name in schema}
            for names in groups
            if names[0] in schema
        ]
        if kept:
            flat["allOf"] = kept
        reference = schema.get("$ref")
        if isinstance(reference, str):
            flat = merged(flat, self._flat(self._compiled.resolve(reference), depth + 1))
        for part in list_of(schema.get("allOf")):
            flat = merged(flat, self._flat(part, depth + 1))
        for name in ("anyOf", "oneOf"):
            if name in schema:
                flat = self._chosen(name, flat, list_of(schema[name]), depth)
        return flat

    def _chosen(
        self, keyword: str, flat: JsonObject, branches: list[JsonValue], depth: int
    ) -> JsonObject:
        order = self._random.sample(branches, len(branches))
        if depth > SPARSE_DEPTH:
            order.sort(key=lambda branch: b'"$ref"' in dumps(branch))
        for branch in order:
            try:
                return merged(flat, self._flat(branch, depth + 1))
            except Contradiction:
                continue
        raise Contradiction(keyword)

    def _fitting(self, flat: JsonObject, depth: int) -> JsonValue:
        """Build, see which conditions hold, and build again under what they ask for."""
        value = self._built(flat, depth)
        conditions = [object_of(each) for each in list_of(flat.get("allOf"))]
        conditions = [each for each in conditions if "if" in each]
        asked: list[JsonValue] = []
        pinned: list[str] = []
        for each in conditions:
            holds = self._compiled.fault(each["if"], value) is None
            asked.append(each.get("then" if holds else "else", True))
            pinned += object_of(object_of(each["if"]).get("properties"))
        if all(self._compiled.fault(each, value) is None for each in asked):
            return value
        known = object_of(value)
        kept: JsonObject = {name: {"enum": [known[name]]} for name in pinned if name in known}
        pins: JsonObject = {"properties": kept, "required": list(kept)} if kept else {}
        plain = {name: part for name, part in flat.items() if name != "allOf"}
        return self._any({**plain, "allOf": [*asked, pins]}, depth + 1)

    def _built(self, flat: JsonObject, depth: int) -> JsonValue:
        if "enum" in flat:
            fits = [each for each in list_of(flat["enum"]) if self._takes(flat, each)]
            if not fits:
                raise Contradiction("enum")
            return self._random.choice(fits)
        kinds = [str(kind) for kind in list_of(flat.get("type")) or [flat.get("type")]]
        kind = self._random.choice(kinds) if "type" in flat else self._guessed(flat)
        if kind == "object":
            return self._object(flat, depth)
        if kind == "array":
            return self._array(flat, depth)
        if kind == "string":
            return self._string(flat)
        if kind in {"integer", "number"}:
            return self._number(flat, whole=kind == "integer")
        return self._random.random() < 0.5 if kind == "boolean" else None

    def _takes(self, flat: JsonObject, value: JsonValue) -> bool:
        plain: JsonObject = {name: part for name, part in flat.items() if name != "allOf"}
        return self._compiled.fault(plain, value) is None

    def _guessed(self, flat: JsonObject) -> str:
        """A kind for a schema that names none: what its keywords speak of."""
        spoken = [kind for kind, names in _KINDS.items() if any(name in flat for name in names)]
        others = ["string", "integer", "boolean", "null", "object"]
        return self._random.choice(spoken or others)

    def _object(self, flat: JsonObject, depth: int) -> JsonValue:
        properties = object_of(flat.get("properties"))
        required = [str(name) for name in list_of(flat.get("required"))]
        optional = [name for name, schema in properties.items() if name not in required]
        sparse = depth > SPARSE_DEPTH
        wanted = [
            name
            for name in optional
            if properties[name] is not False and not sparse and self._random.random() < 0.5
        ]
        least, most = _bounds(flat, "minProperties", "maxProperties")
        room = len(optional) if most is None else max(0, most - len(required))
        names = [*required, *wanted[:room]]
        for name in names:
            names += [
                str(needed)
                for needed in list_of(object_of(flat.get("dependentRequired")).get(name))
                if needed not in names
            ]
        spare = [name for name in optional if name not in names and properties[name] is not False]
        names += spare[: max(0, least - len(names))]
        while len(names) < least:
            names.append(self._new_name(flat, names))
        drawn: JsonObject = {}
        for name in names:
            try:
                drawn[name] = self._any(_member(flat, name), depth + 1)
            except Contradiction:
                if name not in wanted:
                    raise
        return drawn

    def _new_name(self, flat: JsonObject, taken: list[str]) -> str:
        self._work += 1
        if self._work > MOST_WORK:
            raise Contradiction("minProperties")
        patterns = list(object_of(flat.get("patternProperties")))
        naming: JsonValue = flat.get("propertyNames", True)
        if patterns and flat.get("additionalProperties") is False:
            name = self._matching(self._random.choice(patterns))
        elif isinstance(naming, dict) and naming:
            name = str(self._any({"allOf": [{"type": "string"}, naming]}, DEEPEST - 5))
        else:
            name = self._letters(1, 8)
        return self._new_name(flat, taken) if name in taken else name

    def _array(self, flat: JsonObject, depth: int) -> JsonValue:
        least, most = _bounds(flat, "minItems", "maxItems")
        prefix = len(list_of(flat.get("prefixItems")))
        if flat.get("items") is False:
            most = prefix if most is None else min(most, prefix)
        contained = int(number_of(flat.get("minContains", 1)) or 0) if "contains" in flat else 0
        least = max(least, contained)
        usual = least if depth > SPARSE_DEPTH else max(least, prefix, least + 3)
        longest = usual if most is None else min(most, usual)
        if least > longest:
            raise Contradiction("maxItems")
        if least > MOST_WORK:
            raise Contradiction("minItems")
        # A tuple is best complete.
        start = min(max(least, prefix), longest)
        length = self._random.randint(start, longest)
        chosen = self._random.sample(range(length), contained)
        drawn: list[JsonValue] = []
        for at in range(length):
            item = item_of(flat, at)
            wanted: JsonValue = {"allOf": [item, flat["contains"]]} if at in chosen else item
            drawn.append(self._item(wanted, drawn, depth, unique=flat.get("uniqueItems") is True))
        return drawn

    def _item(
        self, schema: JsonValue, before: list[JsonValue], depth: int, *, unique: bool
    ) -> JsonValue:
        value = self._any(schema, depth + 1)
        for _ in range(TRIES_INSIDE * unique):
            if value not in before:
                break
            value = self._any(schema, depth + 1)
        return value

    def _string(self, flat: JsonObject) -> str:
        least, most = _bounds(flat, "minLength", "maxLength")
        if most is not None and least > most:
            raise Contradiction("maxLength")
        if least > LONGEST_TEXT:
            raise Contradiction("minLength")
        pattern, kind = flat.get("pattern"), flat.get("format")
        if isinstance(pattern, str):
            return self._matching(pattern, least, most)
        if isinstance(kind, str) and kind in _FORMATS:
            text = self._matching(_FORMATS[kind])
            if len(text) >= least and (most is None or len(text) <= most):
                return text
        longest = least + 8 if most is None else min(most, least + 8)
        return self._letters(max(least, min(1, longest)), longest)

    def _letters(self, least: int, most: int) -> str:
        return "".join(self._random.choices(LETTERS, k=self._random.randint(least, most)))

    def _matching(self, pattern: str, least: int = 0, most: int | None = None) -> str:
        wanted: JsonObject = {"pattern": pattern, "minLength": least}
        if most is not None:
            wanted["maxLength"] = most
        try:
            for _ in range(TRIES):
                text = matching(pattern, self._random)
                # An expression without anchors matches anywhere.
                text += "" if len(text) >= least else self._letters(*[least - len(text)] * 2)
                if self._compiled.fault(wanted, text) is None:
                    return text
        except PatternTooHard as exc:
            raise SchemaNotSampleable("pattern", str(exc)) from exc
        raise Contradiction("pattern")

    def _number(self, flat: JsonObject, *, whole: bool) -> JsonValue:
        low, high = _range(flat)
        step = step_of(flat["multipleOf"]) if "multipleOf" in flat else None
        if whole:
            step = Fraction(1) if step is None else step * step.denominator
        try:
            if step is None:
                return self._real(flat, float(low), float(high))
            first, last = math.ceil(low / step), math.floor(high / step)
            first += first * step == number_of(flat.get("exclusiveMinimum"))
            last -= last * step == number_of(flat.get("exclusiveMaximum"))
            if first > last:
                raise Contradiction("multipleOf" if "multipleOf" in flat else "maximum")
            drawn = self._random.randint(first, last) * step
            return int(drawn) if drawn.denominator == 1 and whole else float(drawn)
        except OverflowError as exc:
            raise Contradiction("minimum") from exc

    def _real(self, flat: JsonObject, low: float, high: float) -> float:
        above, below = (
            number_of(flat.get("exclusiveMinimum")),
            number_of(flat.get("exclusiveMaximum")),
        )
        low = math.nextafter(low, math.inf) if above is not None and low <= above else low
        high = math.nextafter(high, -math.inf) if below is not None and high >= below else high
        if low > high:
            raise Contradiction("maximum")
        drawn = min(high, max(low, low + (high - low) * self._random.random()))
        short = round(drawn, 4)
        return short if low <= short <= high else drawn


def _member(flat: JsonObject, name: str) -> JsonValue:
    properties = object_of(flat.get("properties"))
    if name in properties:
        return properties[name]
    # Which pattern a new name falls under is checked afterwards; most often there is one.
    patterns = list(object_of(flat.get("patternProperties")).values())
    return patterns[0] if patterns else flat.get("additionalProperties", True)


def _bounds(flat: JsonObject, low: str, high: str) -> tuple[int, int | None]:
    least, most = number_of(flat.get(low)), number_of(flat.get(high))
    return int(least or 0), None if most is None else int(most)


def _range(flat: JsonObject) -> tuple[Fraction, Fraction]:
    """Both ends are inside, but for an exclusive one; an open end is ``SPAN`` steps away."""
    lows = [number_of(flat.get(name)) for name in ("minimum", "exclusiveMinimum")]
    highs = [number_of(flat.get(name)) for name in ("maximum", "exclusiveMaximum")]
    low = max((Fraction(each) for each in lows if each is not None), default=None)
    high = min((Fraction(each) for each in highs if each is not None), default=None)
    step = step_of(flat["multipleOf"]) if "multipleOf" in flat else Fraction(1)
    span = SPAN * step * step.denominator
    if low is None:
        low = -span if high is None else min(high - span, Fraction(0))
    if high is None:
        high = max(low + span, Fraction(0))
    return low, high
