from __future__ import annotations

from pathlib import Path

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.training.openenv.deployment import (
    Runtimes,
    Surroundings,
    environments_secret,
    open_runtime,
)
from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.specs import EnvironmentSpec, Resources

SECRET = "signs the tokens of this installation"


def around(home: Path) -> Surroundings:
    return Surroundings(home=home, secret=SECRET, clock=SystemClock(), progress=lambda line: None)


def test_every_runtime_has_its_name(tmp_path: Path) -> None:
    opened = Runtimes(DeploymentConfig(), around(tmp_path))
    assert list(opened) == ["local", "docker", "kubernetes"]
    assert len(set(opened.values())) == len(opened)
    assert opened["docker"] is opened["docker"]
    assert list(tmp_path.iterdir()) == []


async def test_only_bundled_environments_become_processes(tmp_path: Path) -> None:
    """What others registered may be anything: it runs in a container or not at all."""
    local = open_runtime("local", DeploymentConfig(), around(tmp_path))
    spec = EnvironmentSpec(name="guess_number", deployment_config={"command": ["/bin/sh"]})
    with pytest.raises(InvalidDeployment, match="not bundled"):
        await local.deploy(spec, replicas=1, resources=Resources())


def test_containers_get_a_secret_of_their_own() -> None:
    derived = environments_secret(SECRET)
    assert derived == environments_secret(SECRET)
    assert len(derived) >= 32
    assert SECRET not in derived
    assert derived != environments_secret(f"{SECRET}2")
