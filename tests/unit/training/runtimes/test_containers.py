from __future__ import annotations

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.runtimes.containers import container_of, version_tag
from agentcore.training.openenv.specs import EnvironmentSpec

PREFIX = "agentcore/openenv-"


def foreign(config: JsonObject | None = None) -> EnvironmentSpec:
    """Without an image of its own where the configuration names one."""
    given = config or {}
    image = None if "image" in given else "registry.local/echo:1"
    return EnvironmentSpec(name="echo", image=image, deployment_config=given)


def test_a_bundled_environment_runs_in_the_projects_image() -> None:
    spec = EnvironmentSpec(name="a2a_protocol_test", version="1.0.0", source="bundled")
    container = container_of(spec, PREFIX)
    assert container.image == "agentcore/openenv-a2a-protocol-test:1.0.0"
    assert container.args[:3] == ("env", "serve", "a2a_protocol_test")
    assert container.own
    assert container.user
    mirrored = spec.model_copy(update={"image": "mirror.local/envs:7"})
    assert container_of(mirrored, PREFIX).image == "mirror.local/envs:7"


def test_a_foreign_image_runs_what_its_author_meant() -> None:
    container = container_of(foreign(), PREFIX)
    assert (container.image, container.own) == ("registry.local/echo:1", False)
    assert (container.args, container.user, container.writable) == ((), None, False)
    configured = container_of(
        foreign(
            {
                "image": "registry.local/other:2",
                "env": {"MODE": "hard", "LEVEL": 3},
                "args": ["--port", 8000],
                "run_as_user": 1000,
                "writable_root": True,
            }
        ),
        PREFIX,
    )
    assert configured.image == "registry.local/other:2"
    assert configured.environment == {"HOME": "/tmp", "MODE": "hard", "LEVEL": "3"}
    assert configured.args == ("--port", "8000")
    assert (configured.user, configured.writable) == (1000, True)


@pytest.mark.parametrize(
    "config",
    [
        {"image": ""},
        {"image": "not an image"},
        {"image": "-rm"},
        {"image": 7},
        {"env": ["A"]},
        {"env": {"A B": "x"}},
        {"env": {"A": {"b": 1}}},
        {"args": "rm -rf"},
        {"args": [True]},
        {"run_as_user": 0},
        {"run_as_user": "root"},
        {"writable_root": "yes"},
    ],
)
def test_a_configuration_that_is_none_is_refused(config: JsonObject) -> None:
    with pytest.raises(InvalidDeployment):
        container_of(foreign(config), PREFIX)


@pytest.mark.parametrize(
    ("version", "tag"), [("1.0.0", "1.0.0"), ("1.0+build.7", "1.0-build.7"), ("", ""), ("++", "")]
)
def test_versions_become_tags(version: str, tag: str) -> None:
    assert version_tag(version) == tag
