from __future__ import annotations

import pytest

from agentcore.training.errors import PolicyNotFound
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.playing import local_sessions
from agentcore.training.players import find_policy, known_policies, load_policy
from agentcore.training.rollouts import rollout

FOREIGN = EnvironmentInfo(
    name="guess_number",
    observation_space={},
    action_space={
        "type": "object",
        "properties": {"message": {"type": "string", "maxLength": 5}},
        "required": ["message"],
        "additionalProperties": False,
    },
)


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_bundled_environments_bring_their_policies(name: str) -> None:
    assert {"random", "reference"} <= set(known_policies(BUNDLED[name]().info()))


def test_a_foreign_environment_of_that_name_is_sampled() -> None:
    assert list(known_policies(FOREIGN)) == ["random"]
    one, same, other = (find_policy("random", FOREIGN)(seed) for seed in (1, 1, 2))
    acts = [[player.act({}) for _ in range(20)] for player in (one, same, other)]
    assert acts[0] == acts[1]
    assert acts[0] != acts[2]
    with pytest.raises(PolicyNotFound) as caught:
        find_policy("reference", FOREIGN)
    assert "random" in caught.value.hint


async def test_what_is_sampled_is_taken() -> None:
    info = GuessNumber().info().model_copy(update={"name": "unknown"})
    played = await rollout(find_policy("random", info), local_sessions(GuessNumber), 5)
    assert not played.failures


def test_a_callable_is_imported_and_nothing_by_name_is() -> None:
    where = "agentcore.training.openenv.environments.policies:chance"
    assert callable(load_policy(where, FOREIGN))
    with pytest.raises(PolicyNotFound):
        find_policy(where, FOREIGN)
    for wrong in ("agentcore.absent:x", "agentcore:absent", "agentcore.training:__doc__"):
        with pytest.raises(PolicyNotFound):
            load_policy(wrong, FOREIGN)
