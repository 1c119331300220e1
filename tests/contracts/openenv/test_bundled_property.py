"""Whatever is played from the action space: sound rewards, one end, observations as promised."""

from __future__ import annotations

import math
from random import Random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.environments.base import AnyEnvironment, Step
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.errors import EpisodeOver
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.sampling import sample

# Where an action comes from: a player's idea, one of its parameters spoilt, or the schema alone.
SOURCES = st.lists(
    st.sampled_from(["random", "random", "reference", "spoilt", "schema"]), min_size=5, max_size=60
)
SHORT: dict[str, JsonObject] = {
    "a2a_protocol_test": {"num_tasks": 2, "max_steps": 12},
    "task_routing": {"num_tasks": 5},
    "customer_service": {"num_tickets": 3},
}


class Player:
    """Acts on ``observation`` as its next source says."""

    def __init__(self, environment: AnyEnvironment, seed: int) -> None:
        self._random = Random(f"player {seed}")
        self._space = environment.action_space()
        policies = POLICIES[environment.name].by_name()
        self._policies = {name: make(seed) for name, make in policies.items()}

    def act(self, source: str, observation: JsonObject) -> JsonObject:
        if source == "schema":
            drawn = sample(self._space, self._random)
            assert isinstance(drawn, dict)
            return drawn
        if source != "spoilt":
            return _written(self._policies[source].act(observation))
        action = self._policies["random"].act(observation)
        parameters = dict(action.parameters)
        for name in sorted(parameters):
            if isinstance(parameters[name], str):
                parameters[name] = self._random.choice(["", "task-0", "agent-0", "é\u0000"])
        return {"type": action.type, "parameters": parameters}


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**63), sources=SOURCES)
def test_any_actions_leave_a_sound_and_repeatable_episode(
    name: str, seed: int, sources: list[str]
) -> None:
    environment, again = BUNDLED[name](), BUNDLED[name]()
    schema = jsonschema.Draft202012Validator(environment.observation_space())
    state = jsonschema.Draft202012Validator(environment.info().state_space)
    options = SHORT.get(name)
    observation = environment.reset(seed, options)
    assert dumps(again.reset(seed, options)) == dumps(observation)
    schema.validate(observation)
    player = Player(environment, seed)
    for number, source in enumerate(sources, start=1):
        action = player.act(source, observation)
        step = environment.step(action)
        assert dumps([*again.step(action)]) == dumps([*step])
        assert math.isfinite(step.reward)
        assert abs(step.reward) < 100
        schema.validate(step.observation)
        state.validate(environment.visible_state())
        assert environment.step_count == number <= environment.max_episode_steps
        if step.terminated or step.truncated:
            _is_over(environment, action, step)
            break
        observation = step.observation


def _is_over(environment: AnyEnvironment, action: JsonObject, last: Step) -> None:
    assert not (last.terminated and last.truncated)
    count = environment.step_count
    with pytest.raises(EpisodeOver):
        environment.step(action)
    assert environment.step_count == count


def _written(action: Action) -> JsonObject:
    return {"type": action.type, "parameters": dict(action.parameters)}
