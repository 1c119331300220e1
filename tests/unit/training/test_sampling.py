"""Whatever the schema, what is sampled fits it, and the same chance gives the same value."""

from __future__ import annotations

import json
from random import Random
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.encoding import ActionEncoder
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.errors import SchemaNotSampleable
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.sampling import sample, sample_action

Schema = dict[str, Any]
NAMES = st.sampled_from(["a", "b", "type", "metadata"])
BOUND = st.integers(-50, 50)


def between(low: str, high: str, bound: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    return st.tuples(bound, bound).map(lambda pair: {low: min(pair), high: max(pair)})


SCALARS: st.SearchStrategy[Schema] = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("null", "boolean", "string", "number")]),
    between("minimum", "maximum", BOUND).map(lambda it: {"type": "integer", **it}),
    between("minimum", "maximum", st.floats(-1e6, 1e6)).map(lambda it: {"type": "number", **it}),
    st.builds(
        lambda low, step: {"type": "integer", "exclusiveMinimum": low, "multipleOf": step},
        BOUND,
        st.integers(1, 9),
    ),
    st.builds(lambda high: {"type": "number", "exclusiveMaximum": high}, st.floats(-9, 9)),
    between("minLength", "maxLength", st.integers(0, 20)).map(lambda it: {"type": "string", **it}),
    st.sampled_from(
        [r"^[a-z]{2,5}-\d+$", "^(GET|POST) /", r"\w+@\w+\.(com|org)", "^[^abc]?x*$"]
    ).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.lists(st.integers(0, 3) | st.sampled_from(["x", None, True]), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.sampled_from([{"const": 7}, {}, {"type": ["string", "null"]}, {"format": "date-time"}]),
)


def composed(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    objects = st.dictionaries(NAMES, inner, max_size=3).flatmap(
        lambda members: st.builds(
            lambda required, closed: {
                "type": "object",
                "properties": members,
                "required": required,
                "additionalProperties": not closed,
            },
            st.lists(st.sampled_from(sorted(members)), unique=True) if members else st.just([]),
            st.booleans(),
        )
    )
    return st.one_of(
        objects,
        st.builds(
            lambda item, sizes: {"type": "array", "items": item, **sizes},
            inner,
            between("minItems", "maxItems", st.integers(0, 4)),
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda prefix: {"type": "array", "prefixItems": prefix, "items": False}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: {"anyOf": several}),
        inner.map(lambda one: {"anyOf": [one, {"type": "null"}]}),
        inner.map(lambda one: {"allOf": [one, {"description": "the same"}]}),
        st.builds(
            lambda one, two: {
                "type": "object",
                "properties": {"kind": {"enum": ["one", "two", "three"]}},
                "required": ["kind"],
                "if": {"properties": {"kind": {"const": "one"}}},
                "then": {"properties": {"it": one}, "required": ["it"]},
                "else": {"properties": {"it": two}},
            },
            inner,
            inner,
        ),
    )


SCHEMAS = st.recursive(SCALARS, composed, max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 3))
def test_what_is_sampled_fits(schema: Schema, seed: int) -> None:
    value = sample(schema, Random(seed))
    jsonschema.Draft202012Validator(schema).validate(value)
    assert json.loads(dumps(value)) == value
    assert dumps(sample(schema, Random(seed))) == dumps(value)


@settings(max_examples=100, deadline=None)
@given(one=SCHEMAS, two=SCHEMAS, keyword=st.sampled_from(["allOf", "oneOf"]))
def test_what_cannot_be_sampled_is_said_and_the_rest_fits(
    one: Schema, two: Schema, keyword: str
) -> None:
    schema: Schema = {keyword: [one, two]}
    try:
        value = sample(schema, Random(1))
    except SchemaNotSampleable as error:
        assert error.keyword  # noqa: PT017 -- both outcomes are right, each in its own way
    else:
        jsonschema.Draft202012Validator(schema).validate(value)


DEEP: Schema = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag~1x"}, "minItems": 1},
            },
            "required": ["left", "right", "tags"],
        },
        "tag/x": {"enum": ["red", "green"]},
    },
    "$ref": "#/$defs/tree",
}
HARD: dict[str, Schema] = {
    "a tree": DEEP,
    "the root itself": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "names that must be": {
        "required": ["a"],
        "minProperties": 3,
        "propertyNames": {"maxLength": 2},
    },
    "named by a pattern": {
        "type": "object",
        "patternProperties": {"^x-[a-z]+$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 2,
    },
    "no repetition": {"items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    "contains": {"type": "array", "contains": {"const": "x"}, "minContains": 2, "maxItems": 4},
    "one of two that overlap": {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 9}]},
    "not": {"type": "integer", "minimum": 0, "maximum": 3, "not": {"enum": [0, 1, 2]}},
    "needs": {
        "type": "object",
        "properties": {"card": {"type": "string"}, "address": {"type": "string"}},
        "required": ["card"],
        "dependentRequired": {"card": ["address"]},
    },
    "half is whole": {"type": "integer", "multipleOf": 0.5, "minimum": 3, "maximum": 3},
    "both steps": {"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}]},
    "uuid": {"type": "string", "format": "uuid", "minLength": 36},
    "large": {"type": "number", "minimum": 1e300},
}


@pytest.mark.parametrize("name", HARD)
def test_hard_schemas(name: str) -> None:
    validator = jsonschema.Draft202012Validator(HARD[name])
    for seed in range(20):
        validator.validate(sample(HARD[name], Random(seed)))


def test_steps_are_what_is_written() -> None:
    tenths: Schema = {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.1}
    drawn = {sample(tenths, Random(seed)) for seed in range(200)}
    assert drawn == {tenth / 10 for tenth in range(11)}


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "integer", "minimum": 3, "maximum": 2}, "maximum"),
        ({"allOf": [{"type": "string"}, {"type": "object"}]}, "type"),
        ({"enum": [1, 2], "type": "string"}, "enum"),
        ({"not": {}}, "not"),
        ({"type": "string", "minLength": 4, "maxLength": 3}, "maxLength"),
        ({"type": "string", "pattern": "^(?=a)b"}, "pattern"),
        ({"$ref": "https://elsewhere.example/schema"}, "$ref"),
        ({"$ref": "#/$defs/absent"}, "$ref"),
        ({"$ref": "#/$defs/me", "$defs": {"me": {"$ref": "#/$defs/me"}}}, "$ref"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"}, "$ref"),
        (
            {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
            "uniqueItems",
        ),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"type": "array", "minItems": 10**9}, "minItems"),
        ({"contains": {}, "minContains": 10**9, "type": "array"}, "minItems"),
        ({"type": "string", "pattern": "((a{60}){60}){60}"}, "pattern"),
        ({"allOf": [{"multipleOf": 1e308}, {"multipleOf": 0.3}], "type": "number"}, "minimum"),
        ({"type": "whatever"}, "schema"),
    ],
)
def test_what_stands_in_the_way_is_named(schema: Schema, keyword: str) -> None:
    with pytest.raises(SchemaNotSampleable) as caught:
        sample(schema, Random(0))
    assert caught.value.keyword == keyword


def test_a_schema_that_is_all_depth_is_an_error() -> None:
    schema: Schema = {}
    for _ in range(900):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    with pytest.raises((SchemaNotSampleable, TypeError)):
        sample(schema, Random(0))


def test_a_pattern_that_keeps_others_busy_does_not_keep_us() -> None:
    schema: Schema = {"type": "string", "pattern": "^(a|a)*(a|a)*$", "examples": ["a" * 60 + "b"]}
    for seed in range(5):
        assert set(cast("str", sample(schema, Random(seed)))) <= {"a"}


def test_chance_reaches_every_choice() -> None:
    seen = {cast("str", sample({"enum": ["a", "b", "c"]}, Random(seed))) for seed in range(40)}
    assert seen == {"a", "b", "c"}
    optional: Schema = {"type": "object", "properties": {"a": {"const": 1}}}
    assert {len(cast("JsonObject", sample(optional, Random(seed)))) for seed in range(20)} == {0, 1}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_environments_take_sampled_actions(name: str) -> None:
    env = BUNDLED[name]()
    info = env.info()
    encoder = ActionEncoder(info.action_space)
    kinds = set()
    for seed in range(30):
        action = sample_action(info, Random(seed))
        kinds.add(action.type)
        env.parse(action)
        assert set(encoder.encode(action)) <= {"type", "parameters", "metadata"}
        assert sample_action(info, Random(seed)) == action
    enum = object_at(info.action_space, "properties", "type").get("enum")
    assert enum is None or kinds == set(enum)


def object_at(schema: Any, *path: str) -> dict[str, Any]:
    for name in path:
        schema = schema.get(name, {})
    return cast("dict[str, Any]", schema)


FLAT: Schema = {
    "title": "EchoAction",
    "type": "object",
    "properties": {"message": {"type": "string"}, "metadata": {"type": "object"}},
    "required": ["message", "metadata"],
    "additionalProperties": False,
}
TOOL: Schema = {
    "title": "CallToolAction",
    "type": "object",
    "properties": {
        "type": {"const": "call_tool"},
        "tool_name": {"type": "string"},
        "arguments": {"type": "object"},
    },
    "required": ["tool_name"],
}


@pytest.mark.parametrize(
    ("space", "encoded"),
    [
        (FLAT, {"message", "metadata"}),
        (TOOL, {"type"}),
        ({**TOOL, "properties": {**TOOL["properties"], "tool_name": {"enum": ["add"]}}}, None),
        ({"properties": {"type": {"type": "string"}, "x": {"const": 1}}, "required": ["x"]}, None),
        ({}, set()),
    ],
    ids=["flat", "tools", "named tools", "flat with a type", "anything"],
)
def test_actions_are_the_inverse_of_their_encoding(space: Schema, encoded: set[str] | None) -> None:
    info = EnvironmentInfo(name="x", observation_space={}, action_space=space)
    encoder = ActionEncoder(space)
    for seed in range(10):
        payload = encoder.encode(sample_action(info, Random(seed)))
        assert encoded is None or set(payload) == encoded
        assert payload.get("tool_name", "add") == "add"


def test_an_action_space_without_actions_is_an_error() -> None:
    space: Schema = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    info = EnvironmentInfo(name="x", observation_space={}, action_space=space)
    with pytest.raises(SchemaNotSampleable):
        sample_action(info, Random(0))
