from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step, parse_action
from agentcore.training.openenv.errors import (
    EnvironmentNotReset,
    EpisodeOver,
    OpenEnvInvalidActionError,
    OpenEnvStepError,
)
from agentcore.training.openenv.models import Action


class GoTo(Parameters):
    """Go to a place."""

    place: str


class Rest(Parameters):
    seconds: float = 1.0


@dataclass
class Place:
    name: str = "home"


class Walk(Environment[GoTo | Rest, Place]):
    name, description = "walk", "Walks."
    max_episode_steps = 3
    reward = 1.0
    terminating = False

    def observation_space(self) -> JsonObject:
        return {"type": "object"}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {"draw": random.random(), "options": options}

    def act(self, action: GoTo | Rest) -> Step:
        if isinstance(action, GoTo):
            self.state.name = action.place
        return Step({"step": self.step_count}, self.reward, self.terminating)


REST: JsonObject = {"type": "rest"}


def test_action_types_come_from_the_annotation() -> None:
    walk = Walk()
    walk.reset()
    walk.step({"type": "go_to", "parameters": {"place": "town"}})
    assert walk.state.name == "town"
    assert walk.visible_state() == {"episode_id": None, "step_count": 1, "name": "town"}


@pytest.mark.parametrize(
    ("action", "loc"),
    [
        ({"type": "fly"}, ["type"]),
        ({"type": "go_to"}, ["parameters", "place"]),
        ({"type": "go_to", "parameters": {"place": "x", "fast": True}}, ["parameters", "fast"]),
        ({"type": "rest", "parameters": {"seconds": "long"}}, ["parameters", "seconds"]),
        ({"kind": "rest"}, ["type"]),
    ],
)
def test_a_wrong_action_names_its_member_and_does_nothing(
    action: JsonObject, loc: list[str]
) -> None:
    walk = Walk()
    walk.reset()
    with pytest.raises(OpenEnvInvalidActionError) as caught:
        walk.step(action)
    assert caught.value.errors[0]["loc"] == loc
    assert walk.step_count == 0


def test_an_episode_begins_with_reset_and_ends_once() -> None:
    walk = Walk()
    with pytest.raises(EnvironmentNotReset):
        walk.step(REST)
    walk.reset()
    ends = [walk.step(REST)[2:4] for _ in range(3)]
    # Reaching the limit is truncation, not termination.
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(EpisodeOver):
        walk.step(REST)
    walk.reset()
    assert walk.step_count == 0


def test_an_episode_that_is_won_on_the_last_step_is_not_truncated() -> None:
    walk = Walk()
    walk.reset()
    walk.step(REST)
    walk.step(REST)
    walk.terminating = True
    assert walk.step(REST)[2:4] == (True, False)


def test_zero_is_a_seed() -> None:
    walk = Walk()
    draws = [walk.reset(seed)["draw"] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] == Random(0).random()
    assert draws[0] != draws[2]


def test_an_episode_without_seed_can_be_repeated_by_the_one_it_drew() -> None:
    walk = Walk()
    first = walk.reset()
    assert walk.reset(walk.seed) == first


def test_state_is_fresh_in_every_episode() -> None:
    walk = Walk()
    walk.reset()
    walk.step({"type": "go_to", "parameters": {"place": "town"}})
    walk.reset(episode_id="e-2")
    assert walk.visible_state() == {"episode_id": "e-2", "step_count": 0, "name": "home"}


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_is_a_fault(reward: float) -> None:
    walk = Walk()
    walk.reset()
    walk.reward = reward
    with pytest.raises(OpenEnvStepError, match="reward"):
        walk.step(REST)


@pytest.mark.parametrize("ended", [1, "false", None])
def test_an_end_that_is_no_truth_value_is_a_fault(ended: Any) -> None:
    """A client that reads JSON takes 1 for no end, and the episode would be over unnoticed."""
    walk = Walk()
    walk.reset()
    walk.terminating = ended
    with pytest.raises(OpenEnvStepError, match=f"terminated {ended!r}"):
        walk.step(REST)


def test_the_spaces_describe_themselves() -> None:
    info = Walk().info()
    action: Any = info.action_space
    state: Any = info.state_space
    assert action["title"] == "WalkAction"
    assert action["properties"]["type"]["enum"] == ["go_to", "rest"]
    assert set(state["properties"]) == {"episode_id", "step_count", "name"}
    assert info.max_episode_steps == 3
    assert "render" not in info.features


def test_info_of_a_step_is_the_environments_own_copy() -> None:
    walk = Walk()
    walk.reset()
    walk.step(REST).info["seen"] = True
    assert walk.step(REST).info == {}


def test_a_typed_action_is_taken_as_it_is() -> None:
    action = Action(type="rest")
    assert parse_action(action) is action
