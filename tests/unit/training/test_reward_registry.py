from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import RewardInvalid
from agentcore.training.models import RewardSpec, Transition
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.playing import local_sessions
from agentcore.training.reward_registry import DEEPEST, Parameters, builtin_rewards
from agentcore.training.rollouts import RolloutPlan, rollout

REWARDS = builtin_rewards()
OWN: JsonObject = {"name": "environment"}
NUMBERS = st.floats(-100, 100)


def spec(name: str, **parameters: Any) -> RewardSpec:
    return RewardSpec(name=name, parameters=parameters)


def step(reward: float = 0.0, before: Any = None, after: Any = None, **more: Any) -> Transition:
    return Transition(
        observation={"at": before},
        action=Action(type="a"),
        reward=reward,
        next_observation={"at": after},
        terminated=more.get("terminated", False),
        truncated=more.get("truncated", False),
    )


def reward(name: str, transition: Transition, **parameters: Any) -> float:
    return REWARDS.build(spec(name, **parameters))(transition)


def test_each_function_computes_what_it_says() -> None:
    assert reward("environment", step(2.5)) == 2.5
    assert reward("constant", step(), value=-0.01) == -0.01
    assert reward("scale", step(2.0), reward=OWN, factor=3.0, offset=1.0) == 7.0
    assert reward("clip", step(9.0), reward=OWN, low=0.0, high=2.0) == 2.0
    assert reward("clip", step(-9.0), reward=OWN) == -1.0
    assert reward("threshold", step(1.0), reward=OWN, at=1.0, bonus=5.0) == 5.0
    assert reward("threshold", step(0.9), reward=OWN, at=1.0) == 0.0
    ends = {"terminated": 2.0, "truncated": -3.0}
    assert reward("ending", step(), **ends) == 0.0
    assert reward("ending", step(terminated=True), **ends) == 2.0
    assert reward("ending", step(truncated=True), **ends) == -3.0
    terms = [
        {"reward": OWN, "weight": 2.0},
        {"reward": {"name": "constant", "parameters": {"value": 1.0}}},
    ]
    assert reward("sum", step(4.0), terms=terms) == 9.0


@given(st.lists(NUMBERS, min_size=2, max_size=12), st.floats(0.1, 1.0), st.booleans())
def test_potentials_cancel_along_an_episode(
    values: list[float], gamma: float, terminated: bool
) -> None:
    shaping = REWARDS.build(spec("potential", at="/at", gamma=gamma))
    steps = list(itertools.pairwise(values))
    total = sum(
        gamma**number
        * shaping(step(0.0, before, after, terminated=terminated and number == len(steps) - 1))
        for number, (before, after) in enumerate(steps)
    )
    # What is left depends on no action in between: the end counts nothing once it is terminal.
    last = 0.0 if terminated else gamma ** len(steps) * values[-1]
    assert total == pytest.approx(last - values[0], abs=1e-9)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_sum_is_linear(one: float, other: float, weight: float) -> None:
    terms = [{"reward": OWN, "weight": weight}, {"reward": OWN}]
    combined = REWARDS.build(spec("sum", terms=terms))
    assert combined(step(one)) + combined(step(other)) == pytest.approx(
        (weight + 1) * (one + other), abs=1e-6
    )


def test_pointers_lead_into_lists_and_odd_names() -> None:
    shaping = REWARDS.build(spec("potential", at="/at/1/a~1b", scale=2.0, missing=0.0))
    assert shaping(step(0.0, [0, {"a/b": 1.0}], [0, {"a/b": 4.0}])) == 6.0
    assert shaping(step(0.0, [0], "none")) == 0.0
    with pytest.raises(RewardInvalid, match="no number at '/at'"):
        reward("potential", step(0.0, True, 1.0), at="/at")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (spec("bonus"), "there is no reward 'bonus'"),
        (spec("constant"), "constant: value: Field required"),
        (spec("constant", value="much"), "constant: value: Input should be a valid number"),
        (spec("constant", value=math.inf), "constant: value"),
        (spec("environment", speed=1), "environment: speed: Extra inputs"),
        (spec("clip", reward=OWN, low=2.0, high=1.0), "is above high"),
        (spec("sum", terms=[]), "sum: terms"),
        (spec("scale", reward={"name": "nope"}), r"no reward 'nope' \(at scale > nope\)"),
        (spec("potential", at="at"), "potential: at"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_built(asked: RewardSpec, said: str) -> None:
    with pytest.raises(RewardInvalid, match=said):
        REWARDS.build(asked)


def test_depth_is_limited_and_infinity_refused() -> None:
    nested: JsonObject = OWN
    for _ in range(DEEPEST):
        nested = {"name": "scale", "parameters": {"reward": nested}}
    with pytest.raises(RewardInvalid, match="nested more than"):
        REWARDS.build(RewardSpec.model_validate(nested))
    huge = spec("scale", reward=OWN, factor=1e308)
    with pytest.raises(RewardInvalid, match="came out as inf"):
        REWARDS.build(huge)(step(100.0))


def test_an_application_registers_its_own() -> None:
    class Wanted(Parameters):
        hint: str

    rewards = builtin_rewards().register(
        "hinted",
        Wanted,
        lambda given, _: lambda each: float(each.next_observation["at"] == given.hint),
    )
    assert rewards.build(spec("hinted", hint="hit"))(step(after="hit")) == 1.0
    with pytest.raises(RewardInvalid, match="registered already"):
        rewards.register("sum", Wanted, lambda given, _: lambda each: 0.0)
    assert rewards.schemas()["hinted"]["required"] == ["hint"]


def test_a_specification_is_json_and_back() -> None:
    asked = spec("sum", terms=[{"reward": OWN, "weight": 2.0}])
    again = RewardSpec.model_validate_json(asked.model_dump_json())
    assert again == asked
    assert REWARDS.build(again)(step(3.0)) == 6.0


async def test_rollouts_are_shaped() -> None:
    shaped = REWARDS.build(spec("ending", terminated=10.0))
    (episode,) = (
        await rollout(
            POLICIES["guess_number"].reference,
            local_sessions(GuessNumber),
            1,
            plan=RolloutPlan(reward=shaped),
        )
    ).episodes
    assert episode.reward == 10.0
    broken = REWARDS.build(spec("potential", at="/absent"))
    (episode,) = (
        await rollout(
            POLICIES["guess_number"].reference,
            local_sessions(GuessNumber),
            1,
            plan=RolloutPlan(reward=broken),
        )
    ).episodes
    assert episode.failure is not None
    assert episode.failure.code == "reward_invalid"
