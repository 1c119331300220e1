from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import ValidationError

from agentcore.kit.jsonvalue import JsonValue
from agentcore.training.openenv.models import (
    Action,
    DeploymentConfig,
    HubConfig,
    Observation,
    RegistryConfig,
    RemoteEnvironment,
    SchedulingConfig,
    StepResult,
    TrainingConfig,
    made,
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


def test_a_value_that_is_not_checked_is_like_one_that_is() -> None:
    """Values of known members are made past pydantic: nobody else may be able to tell."""
    state: dict[str, JsonValue] = {"echo": "x", "deep": {"a": [1, None]}}
    checked = StepResult(
        observation=Observation(state=state, metadata={"seed": 0}),
        reward=0.5,
        terminated=False,
        truncated=True,
        info={"done": True},
        reward_raw=None,
    )
    members: dict[str, object] = {
        "observation": made(Observation, {"state": state, "metadata": {"seed": 0}}),
        "reward": 0.5,
        "terminated": False,
        "truncated": True,
        "info": {"done": True},
        "reward_raw": None,
    }
    unchecked = made(StepResult, members)
    assert unchecked == checked
    assert repr(unchecked) == repr(checked)
    assert unchecked.done
    assert unchecked.model_fields_set == checked.model_fields_set
    assert unchecked.model_dump_json() == checked.model_dump_json()
    assert StepResult.model_validate(unchecked) == checked
    assert pickle.loads(pickle.dumps(unchecked)) == checked
    assert copy.deepcopy(unchecked) == checked
    changed = unchecked.model_copy(update={"reward": 1.0})
    assert (changed.reward, unchecked.reward) == (1.0, 0.5)
    with pytest.raises(ValidationError):
        unchecked.reward = 1.0  # type: ignore[misc]  # frozen: that is the point


def test_the_defaults_need_nothing_else_on_the_machine() -> None:
    assert DeploymentConfig().runtime == "local"
    assert DeploymentConfig().namespace == "agentcore-openenv"


@pytest.mark.parametrize(
    "values",
    [
        {"runtime": "podman"},
        {"namespace": "Not_One"},
        {"namespace": "-x"},
        {"wait_seconds": 0},
        {"drain_seconds": -1},
        {"replicas": 3},
    ],
)
def test_what_no_runtime_could_use_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DeploymentConfig.model_validate(values)


def test_the_hub_is_asked_without_a_token() -> None:
    config = RegistryConfig()
    assert str(config.hub.endpoint) == "https://huggingface.co/"
    assert config.hub.token.get_secret_value() == ""


def test_a_token_is_not_shown() -> None:
    assert "hf_x" not in repr(HubConfig.model_validate({"token": "hf_x"}))


@pytest.mark.parametrize("name", ["monitor_seconds", "deep_health_seconds"])
def test_times_are_positive(name: str) -> None:
    with pytest.raises(ValidationError):
        RegistryConfig.model_validate({name: 0})


def test_a_process_may_run_no_jobs_but_not_fewer() -> None:
    assert SchedulingConfig(jobs_at_once=0).jobs_at_once == 0
    for wrong in ({"jobs_at_once": -1}, {"poll_seconds": 0}, {"lease_seconds": 0}):
        with pytest.raises(ValidationError):
            SchedulingConfig.model_validate(wrong)
