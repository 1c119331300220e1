from __future__ import annotations

import json

import jsonschema
import pytest

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.simulators.prompt import Message, Prompt
from agentcore.simulators.schema_reply import action_schema_in, instance_of

SCHEMAS: list[tuple[JsonObject, object]] = [
    ({"const": 3}, 3),
    ({"enum": ["b", "a"]}, "b"),
    ({"type": "string", "default": "x"}, "x"),
    ({"type": "integer", "minimum": 4}, 4),
    ({"type": "number"}, 0),
    ({"type": "boolean"}, False),
    ({"type": "null"}, None),
    ({"type": ["string", "null"]}, "simulated"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
    ({"type": "array"}, []),
    ({"type": "object"}, {}),
    (
        {
            "properties": {"guess": {"type": "integer"}, "why": {"type": "string"}},
            "required": ["guess"],
        },
        {"guess": 0},
    ),
    ({"oneOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"const": "A"}}}, "A"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"enum": [1]}}}}}, {"x": 1}),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_the_plainest_instance(schema: JsonObject, expected: object) -> None:
    instance = instance_of(schema)
    assert instance == expected
    jsonschema.validate(instance, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/missing/part"},
        {"properties": {"x": {"$ref": "#"}}},
        {"type": "array", "minItems": 10**9},
        {"properties": 3, "type": "object"},
    ],
)
def test_hostile_schemas_end(schema: JsonObject) -> None:
    assert len(dumps(instance_of(schema))) < 10_000


@pytest.mark.parametrize(
    "text",
    [
        'Answer by {"properties": {"guess": {"type": "integer"}}}.',
        '{"action": {"properties": {"guess": {"type": "integer"}}}, "observation": {"x": {}}}',
        '{"properties": {"no": {}}} {"properties": {"guess": {"type": "integer"}}}',
    ],
)
def test_the_actions_schema_is_found(text: str) -> None:
    schema = action_schema_in(Prompt((Message("system", text), Message("user", "{}"))))
    assert schema is not None
    assert instance_of(schema) == {"guess": 0}


def test_other_json_is_no_schema() -> None:
    text = json.dumps({"state": {"board": [1, 2]}, "action": "none"})
    assert action_schema_in(Prompt((Message("user", text),))) is None
