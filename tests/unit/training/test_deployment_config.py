from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.deployment_config import DeploymentConfig


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
