from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.models import (
    Action,
    Observation,
    RemoteEnvironment,
    StepResult,
    TrainingConfig,
)


def test_an_action_needs_a_type_and_an_object_of_parameters() -> None:
    assert Action(type="x").parameters == {}
    for wrong in (
        {},
        {"type": ""},
        {"type": 1},
        {"type": "x", "parameters": [1]},
        {"type": "x", "y": 1},
    ):
        with pytest.raises(ValidationError):
            Action.model_validate(wrong)


def test_nested_members_are_taken_as_they_are() -> None:
    nested: dict[str, object] = {"a": [1, {"b": None}], "c": 1.5}
    assert Action.model_validate({"type": "x", "parameters": nested}).parameters == nested
    assert Observation.model_json_schema()["properties"]["state"]["type"] == "object"


@pytest.mark.parametrize("raw", [None, True, False, 3, 2.5])
def test_the_raw_reward_keeps_its_type(raw: float | None) -> None:
    result = StepResult(
        observation=Observation(state={}),
        reward=0.0,
        terminated=False,
        truncated=True,
        reward_raw=raw,
    )
    again = StepResult.model_validate_json(result.model_dump_json())
    assert type(again.reward_raw) is type(raw)
    assert again.done


def test_remote_environments_are_named_and_addressed() -> None:
    config = TrainingConfig.model_validate(
        {"environments": [{"name": "echo", "url": "https://example.org/env", "token": "secret"}]}
    )
    assert "secret" not in repr(config)
    for wrong in (
        {"name": "a/b", "url": "http://x"},
        {"name": "a", "url": "ftp://x"},
        {"name": "a"},
        {"name": "a", "url": "http://hunter2@x"},
        {"name": "a", "url": "http://:hunter2@x"},
    ):
        with pytest.raises(ValidationError):
            RemoteEnvironment.model_validate(wrong)
