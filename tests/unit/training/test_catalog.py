from __future__ import annotations

import jsonschema
import pytest

from agentcore.kit.jsonvalue import dumps
from agentcore.training.openenv.environments.catalog import BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_environments_keep_the_contract(name: str) -> None:
    environment = BUNDLED[name]()
    assert environment.name == name
    info = environment.info()
    assert info.description
    assert info.max_episode_steps
    for space in (info.action_space, info.observation_space, info.state_space):
        jsonschema.Draft202012Validator.check_schema(space)
    assert info.action_space["title"], "clients choose by the title"
    first = environment.reset(0)
    jsonschema.validate(first, info.observation_space)
    assert dumps(first) == dumps(environment.reset(0))
    jsonschema.validate(environment.visible_state(), info.state_space)
    environment.close()
