from __future__ import annotations

import math
from contextlib import suppress
from typing import cast

import pytest

from agentcore.kit.jsonvalue import JsonObject, loads
from agentcore.training.openenv.encoding import (
    ActionEncoder,
    decode_observation,
    decode_step,
    encoding_of,
)
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.errors import OpenEnvInvalidActionError, OpenEnvSpecError
from agentcore.training.openenv.models import Action
from tests.fakes.openenv_servers import FLAT_ACTION

CALL_TOOL: JsonObject = {
    "title": "CallToolAction",
    "type": "object",
    "properties": {
        "metadata": {"type": "object"},
        "type": {"const": "call_tool"},
        "tool_name": {"type": "string"},
        "arguments": {"type": "object"},
    },
    "required": ["tool_name"],
    "additionalProperties": False,
}
MOVE = Action(type="move", parameters={"x": 1}, metadata={"trace_id": "t"})


@pytest.mark.parametrize(
    ("schema", "encoding"),
    [
        (GuessNumber().action_space(), "typed"),
        (A2AProtocolTestEnv().action_space(), "typed"),
        (CALL_TOOL, "tool"),
        ({"properties": {"type": {"const": "list_tools"}}}, "tool"),
        (FLAT_ACTION, "flat"),
        ({"properties": {"type": {"type": "string"}, "x": {}}}, "flat"),
        ({}, "flat"),
    ],
)
def test_the_schema_chooses_the_encoding(schema: JsonObject, encoding: str) -> None:
    assert encoding_of(schema) == encoding


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (
            A2AProtocolTestEnv().action_space(),
            {"type": "move", "parameters": {"x": 1}, "metadata": {"trace_id": "t"}},
        ),
        (
            CALL_TOOL,
            {
                "type": "call_tool",
                "tool_name": "move",
                "arguments": {"x": 1},
                "metadata": {"trace_id": "t"},
            },
        ),
        ({}, {"x": 1, "metadata": {"trace_id": "t"}}),
        (
            {"properties": {"type": {}, "x": {}}, "additionalProperties": False},
            {"type": "move", "x": 1},
        ),
    ],
)
def test_each_encoding_writes_its_form(schema: JsonObject, payload: JsonObject) -> None:
    assert ActionEncoder(schema).encode(MOVE) == payload
    assert loads(ActionEncoder(schema).encode_json(MOVE)) == payload


def test_the_list_of_tools_may_always_be_asked_for() -> None:
    asked = ActionEncoder(CALL_TOOL).encode(Action(type="list_tools"))
    assert asked == {"type": "list_tools"}


def test_an_own_metadata_parameter_is_not_overwritten() -> None:
    action = Action(type="x", parameters={"metadata": {"mine": 1}}, metadata={"trace_id": "t"})
    assert ActionEncoder({}).encode(action) == {"metadata": {"mine": 1}}


def test_a_wrong_action_is_refused_with_its_fields() -> None:
    encoder = ActionEncoder(FLAT_ACTION)
    with pytest.raises(OpenEnvInvalidActionError) as caught:
        encoder.encode(Action(type="say", parameters={"message": 1, "extra": 2}))
    found = {(tuple(error["loc"]), error["type"]) for error in caught.value.errors}  # type: ignore[arg-type]  # lists
    assert found == {(("message",), "type"), ((), "additionalProperties")}
    with pytest.raises(OpenEnvInvalidActionError, match=r"^say: message: 1 is not of type"):
        encoder.encode(Action(type="say", parameters={"message": 1}))


def test_typed_parameters_are_checked_before_sending() -> None:
    encoder = ActionEncoder(GuessNumber().action_space())
    assert encoder.encode(Action(type="guess", parameters={"number": 1}))
    for parameters in ({"number": 0}, {"number": "7"}, {}, {"number": 1, "more": 1}):
        with pytest.raises(OpenEnvInvalidActionError):
            encoder.encode(Action(type="guess", parameters=dict(parameters)))
    with pytest.raises(OpenEnvInvalidActionError):
        encoder.encode(Action(type="jump"))


def test_many_and_long_faults_are_cut() -> None:
    encoder = ActionEncoder({"properties": {str(n): {"type": "integer"} for n in range(50)}})
    with pytest.raises(OpenEnvInvalidActionError) as caught:
        encoder.encode(Action(type="x", parameters={str(n): "y" * 1000 for n in range(50)}))
    assert len(caught.value.errors) == 20
    assert all(len(str(error["msg"])) <= 300 for error in caught.value.errors)


def test_a_schema_that_is_none_is_a_fault_of_the_server() -> None:
    with pytest.raises(OpenEnvSpecError, match="no JSON Schema"):
        ActionEncoder({"type": "nonsense"})


@pytest.mark.parametrize(
    "reference",
    # References out of the schema must not be followed: the port would answer.
    ["http://127.0.0.1:9/schema.json", "file:///etc/hostname", "#/$defs/missing"],
)
def test_references_that_lead_nowhere_are_a_fault_of_the_server(reference: str) -> None:
    with pytest.raises(OpenEnvSpecError, match="no JSON Schema") as caught:
        ActionEncoder({"$ref": reference})
    assert reference.lstrip("#") in caught.value.detail
    assert caught.value.hint


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "#"}, "x"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "x"),
        ({"properties": {"x": {"pattern": "^(a+)+$"}}}, "a" * 100 + "b"),
        ({"properties": {"x": {"pattern": r"^(?=a)(a+)+\1$"}}}, "a" * 100 + "b"),
    ],
)
def test_a_schema_cannot_keep_this_process_busy(schema: JsonObject, text: str) -> None:
    with suppress(OpenEnvInvalidActionError):
        ActionEncoder(schema).encode(Action(type="x", parameters={"x": text}))


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, 2**70, "\ud800", {1, 2}, math.nan, [{"y": math.inf}]]
)
def test_what_has_no_json_form_is_an_invalid_action(value: object) -> None:
    action = Action.model_construct(type="x", parameters={"x": cast("str", value)}, metadata={})
    spaces: list[JsonObject] = [{}, A2AProtocolTestEnv().action_space()]
    for space in spaces:
        with pytest.raises(OpenEnvInvalidActionError) as caught:
            ActionEncoder(space).encode(action)
        assert caught.value.errors[0]["type"] == "json"


def test_what_is_missing_may_be_said() -> None:
    action = Action(type="x", parameters={"x": None, "y": "null", "z": [1.5, None]})
    assert ActionEncoder({}).encode(action) == action.parameters


def test_a_value_without_end_is_an_invalid_action() -> None:
    deep: JsonObject = {}
    for _ in range(100_000):
        deep = {"x": deep}
    encoder = ActionEncoder({"properties": {"x": {"$ref": "#"}}})
    with pytest.raises(OpenEnvInvalidActionError):
        encoder.encode(Action.model_construct(type="x", parameters=deep, metadata={}))
    while deep:  # from the outside in: freeing it at once would be as deep
        deep = deep.pop("x")  # type: ignore[assignment]  # objects all the way down


@pytest.mark.parametrize(
    ("reward", "raw", "number"),
    [
        (None, None, 0.0),
        (0.0, 0.0, 0.0),
        (2, 2, 2.0),
        (True, True, 1.0),
        (False, False, 0.0),
        (math.nan, None, 0.0),
        (math.inf, None, 0.0),
        ("1.0", None, 0.0),
    ],
)
def test_a_reward_that_says_nothing_is_missing(
    reward: float | None, raw: float | None, number: float
) -> None:
    result = decode_step({"observation": {}, "reward": reward, "done": False})
    assert (result.reward_raw, result.reward) == (raw, number)
    assert type(result.reward_raw) is type(raw)
    assert result.info == {"reward_raw": raw, "done": False}


@pytest.mark.parametrize(
    ("done", "metadata", "terminated", "truncated"),
    [
        (False, {}, False, False),
        (True, {}, True, False),
        (True, {"truncated": True}, False, True),
        (True, {"TimeLimit.truncated": True}, False, True),
        (True, {"terminated": False, "truncated": True}, False, True),
        (True, {"terminated": True, "truncated": True}, True, True),
        (True, {"terminated": False}, True, False),
        (True, {"terminated": "yes", "truncated": 1}, True, False),
        (False, {"terminated": True}, True, False),
    ],
)
def test_the_two_ends_are_told_apart(
    done: bool, metadata: JsonObject, terminated: bool, truncated: bool
) -> None:
    result = decode_step({"observation": {"metadata": metadata}, "reward": 1.0, "done": done})
    assert (result.terminated, result.truncated) == (terminated, truncated)


def test_a_limit_on_this_side_truncates() -> None:
    data: JsonObject = {"observation": {}, "reward": 1.0, "done": False}
    assert decode_step(data, limit_reached=True).truncated
    assert not decode_step({**data, "done": True}, limit_reached=True).truncated


def test_metadata_is_found_inside_beside_and_nowhere() -> None:
    inside: JsonObject = {"observation": {"a": 1, "metadata": {"x": 1, "y": 1}}}
    assert decode_observation(inside).metadata == {"x": 1, "y": 1}
    both = decode_observation({**inside, "metadata": {"y": 2}})
    assert both.state == {"a": 1}
    assert both.metadata == {"x": 1, "y": 2}
    # 0.2 and 0.3 send none at all.
    assert decode_observation({"observation": {"a": 1}}).metadata == {}


@pytest.mark.parametrize("data", [{}, {"observation": None}, {"observation": [1]}])
def test_an_answer_without_observation_is_a_fault_of_the_server(data: JsonObject) -> None:
    with pytest.raises(OpenEnvSpecError):
        decode_observation(data)
