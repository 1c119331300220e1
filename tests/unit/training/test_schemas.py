"""Schemas of servers: judged, and turned into actions that fit or that do not."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.conformance.schemas import (
    canonical,
    filled,
    schema_fault,
    unfit,
    value_fault,
)
from agentcore.training.openenv.encoding import ActionEncoder
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.sampling import sample_action


def test_faults_are_located() -> None:
    assert schema_fault({"type": "object"}) is None
    assert "$.properties.a.type" in str(schema_fault({"properties": {"a": {"type": "word"}}}))
    assert schema_fault(None) == "no object"
    assert value_fault({"properties": {"a": {"type": "integer"}}}, {"a": 1}) is None
    assert "$.a" in str(value_fault({"properties": {"a": {"type": "integer"}}}, {"a": "x"}))


@pytest.mark.parametrize("target", ["#/$defs/none", "https://elsewhere.example/schema"])
def test_what_cannot_be_resolved_is_not_fetched_and_not_judged(target: str) -> None:
    assert value_fault({"$ref": target}, {}) is None


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_actions_can_be_broken_and_filled(name: str) -> None:
    info = BUNDLED[name]().info()
    action = ActionEncoder(info.action_space).encode(sample_action(info, Random(1)))
    wrong = unfit(info.action_space, action)
    assert wrong is not None
    assert value_fault(info.action_space, wrong) is not None
    large = filled(info.action_space, action, "much")
    assert value_fault(info.action_space, large) is None
    assert large["metadata"] == {"note": "much"}


CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
    "additionalProperties": False,
}


def test_actions_are_broken_in_some_way_or_not_at_all() -> None:
    assert unfit({"required": ["n"]}, {"n": 1, "m": 2}) == {"m": 2}
    assert unfit(CLOSED, {"n": 1}) == {"n": 1, "unheard_of": 1}
    assert unfit({"properties": {"n": {"type": "integer"}}}, {"n": 1}) == {"n": {"un": "heard of"}}
    assert unfit({}, {"n": 1}) is None


def test_text_goes_where_it_fits() -> None:
    assert filled(CLOSED, {"text": "a", "n": 1}, "b") == {"text": "b", "n": 1}
    nested: JsonObject = {
        "properties": {"a": {"additionalProperties": {"type": "string"}}, "metadata": False}
    }
    given: JsonObject = {"a": {"b": "c"}}
    assert filled(nested, given, "d") == {"a": {"b": "d"}}
    assert filled(CLOSED, {"n": 1}, "b") == {"n": 1, "unheard_of": "b"}


def test_values_compare_by_what_they_say() -> None:
    assert canonical({"a": float("nan")}) == canonical({"a": float("nan")})
    assert canonical([1]) != canonical([True])


@pytest.mark.parametrize("odd", ["\ud800", 2**70, float("nan"), {"\ud800": [2**70]}])
def test_what_only_pythons_json_writes_is_compared(odd: Any) -> None:
    assert canonical({"a": odd}) == canonical({"a": odd})
    assert canonical({"a": odd}) != canonical({"a": 1})


def test_what_is_no_text_does_not_fit() -> None:
    schema: JsonObject = {"properties": {"a": {"type": "string"}}}
    assert value_fault(schema, {"\ud800": 1}) is not None
