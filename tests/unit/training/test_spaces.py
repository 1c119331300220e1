from __future__ import annotations

import jsonschema
import pytest

from agentcore.kit.jsonvalue import JsonValue
from agentcore.training.openenv.environments.spaces import COUNT, STRING, described, listed, record


def test_a_record_requires_all_its_members() -> None:
    schema = record({"name": STRING, "many": described(COUNT, "how many")}, title="T")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"name": "x", "many": 0}, schema)
    refused: list[JsonValue] = [{"name": "x"}, {"name": "x", "many": -1}, []]
    for wrong in refused:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert schema["title"] == "T"


def test_a_list_holds_records() -> None:
    schema = listed("things", {"name": STRING})
    jsonschema.validate([{"name": "x"}], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([{}], schema)
