from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.specs import EnvironmentSpec, Resources


def test_a_name_is_one_that_every_runtime_takes() -> None:
    assert EnvironmentSpec(name="task-routing").source == "manual"
    for name in ("Task", "a/b", "", "-a"):
        with pytest.raises(ValidationError, match="name"):
            EnvironmentSpec(name=name)


def test_what_is_not_asked_for_is_as_the_specification_has_it() -> None:
    assert Resources().model_dump() == {
        "cpu": "500m",
        "memory": "512Mi",
        "cpu_limit": "2000m",
        "memory_limit": "2Gi",
        "gpu": 0,
    }


def test_amounts_are_as_kubernetes_has_them() -> None:
    assert Resources(cpu="2", memory=".5Gi").cpu == "2"
    for text in ("", "\x00", "1 Gi", "1Gi\n", "-1"):
        with pytest.raises(ValidationError, match="memory"):
            Resources(memory=text)
