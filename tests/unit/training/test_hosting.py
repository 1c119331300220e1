from __future__ import annotations

import json
from typing import Any

import pytest

from agentcore.kit.errors import InvalidInput, NotFound
from agentcore.kit.ids import Ids
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.errors import OpenEnvInvalidActionError
from agentcore.training.openenv.serving.hosting import (
    EnvironmentHost,
    InvalidRequest,
    envelope,
    fault,
    faults_of,
)


def host() -> EnvironmentHost:
    return EnvironmentHost(GuessNumber(), Ids())


async def reset(request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host().reset(request))
    return answer


async def test_an_episode_id_is_kept_or_made() -> None:
    assert (await reset({"episode_id": "mine"}))["metadata"]["episode_id"] == "mine"
    made = {(await reset({}))["metadata"]["episode_id"] for _ in range(2)}
    assert len(made) == 2


async def test_the_seed_is_told_so_that_the_episode_can_be_repeated() -> None:
    assert (await reset({"seed": 0}))["metadata"]["seed"] == 0
    assert isinstance((await reset({"seed": None}))["metadata"]["seed"], int)


@pytest.mark.parametrize(
    "request_",
    [{"seed": -1}, {"seed": "7"}, {"seed": True}, {"seed": 1.5}, {"episode_id": "e" * 256}],
)
async def test_wrong_requests_name_the_member(request_: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await reset(request_)
    assert caught.value.errors[0]["loc"] == [next(iter(request_))]


def test_metadata_is_inside_and_beside() -> None:
    step = Step({"a": 1, "metadata": {"own": 1}}, 2.0, terminated=True, info={"more": 2})
    metadata = {"own": 1, "more": 2}
    assert json.loads(envelope(step, reward=2.0)) == {
        "observation": {"a": 1, "metadata": metadata},
        "reward": 2.0,
        "done": True,
        "metadata": metadata,
    }


def test_only_refusals_have_field_errors() -> None:
    wrong = fault("missing", "Field required", "x")
    assert faults_of(InvalidRequest(wrong)) == [wrong]
    assert faults_of(OpenEnvInvalidActionError("no", [wrong])) == [wrong]
    assert faults_of(InvalidInput("num_tasks is 0")) == [fault("value_error", "num_tasks is 0")]
    assert faults_of(NotFound("nothing")) is None
