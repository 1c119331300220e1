from __future__ import annotations

import jsonschema
import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.tools import tools_of


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_environment_has_tools(name: str) -> None:
    tools = tools_of(BUNDLED[name]().action_space())
    assert tools
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description
        assert tool.input_schema["type"] == "object"


def test_controls_are_no_tools() -> None:
    space: JsonObject = {"properties": {"type": {"enum": ["reset", "close", "go", 7]}}}
    assert [tool.name for tool in tools_of(space)] == ["go"]


@pytest.mark.parametrize("space", [{}, {"type": "object"}, {"allOf": [1, {}]}, {"properties": []}])
def test_a_space_that_names_no_types_has_none(space: JsonObject) -> None:
    assert tools_of(space) == []


def test_definitions_are_kept_where_they_are_needed() -> None:
    inner: JsonObject = {"type": "integer"}
    space: JsonObject = {
        "properties": {"type": {"const": "go"}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": "go"}}},
                "then": {"properties": {"parameters": {"$ref": "#/$defs/Go"}}},
            }
        ],
        "$defs": {"Go": {"properties": {"to": {"$ref": "#/$defs/Place"}}}, "Place": inner},
    }
    (tool,) = tools_of(space)
    assert "to" in str(tool.input_schema["properties"])
    jsonschema.validate({"to": 1}, tool.input_schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"to": "x"}, tool.input_schema)
