from __future__ import annotations

import jsonschema
import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.encoding import ActionEncoder
from agentcore.training.openenv.environments.a2a_spaces import ACTION_SPACE, OBSERVATION_SPACE
from agentcore.training.openenv.models import Action


@pytest.mark.parametrize("space", [ACTION_SPACE, OBSERVATION_SPACE])
def test_the_spaces_are_json_schemas(space: JsonObject) -> None:
    jsonschema.Draft202012Validator.check_schema(space)


def test_violations_can_be_sent() -> None:
    """The environment judges them: a space that refused them would hide its lessons."""
    encoder = ActionEncoder(ACTION_SPACE)
    assert encoder.encode(Action(type="discover_agents"))
    assert encoder.encode(Action(type="dance", parameters={"message": "do it"}))


def test_every_type_of_action_is_described() -> None:
    described = ACTION_SPACE["$defs"]
    assert isinstance(described, dict)
    assert set(described) == {"discover_agents", "delegate_task", "respond_to_task"}
