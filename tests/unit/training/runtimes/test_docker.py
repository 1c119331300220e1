"""Docker's own promises; what it shares with other runtimes is tests/contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.errors import DeploymentFailed, InvalidDeployment
from agentcore.training.openenv.runtimes.docker import read_usage
from agentcore.training.openenv.specs import EnvironmentSpec, Resources
from tests.contracts.environment_runtimes.docker_harness import (
    SECRET,
    DockerHarness,
    docker_harness,
)
from tests.contracts.environment_runtimes.harness import SMALL, deploy


@pytest.fixture
async def harness() -> AsyncIterator[DockerHarness]:
    async with docker_harness() as opened:
        yield opened


async def test_containers_get_their_limits_and_no_more_rights_than_they_need(
    harness: DockerHarness,
) -> None:
    resources = Resources(cpu_limit="1500m", memory_limit="1Gi", gpu=1)
    await harness.runtime().deploy(harness.spec("echo"), replicas=1, resources=resources)
    [container] = harness.engine.containers.values()
    host = container.body["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (1_500_000_000, 2**30)
    assert host["ReadonlyRootfs"] is True
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert host["DeviceRequests"][0]["Count"] == 1
    [[binding]] = host["PortBindings"].values()
    assert binding["HostIp"] == "127.0.0.1"


async def test_only_own_images_get_what_signs_tokens(harness: DockerHarness) -> None:
    own = EnvironmentSpec(name="own", version="1", source="bundled", image="registry.local/serve:1")
    await harness.runtime().deploy(own, replicas=1, resources=SMALL)
    await deploy(harness, "foreign")
    told = {each.name: str(each.body["Env"]) for each in harness.engine.containers.values()}
    assert SECRET in told["agentcore-own-env"]
    assert SECRET not in told["agentcore-foreign-env"]


async def test_a_pull_is_told_and_its_failure_is_the_registrys(harness: DockerHarness) -> None:
    await deploy(harness, "echo")
    assert "registry.local/serve:1.0.0: a1b2 Downloading [==>  ] 1MB/4MB" in harness.told
    for image, why in (("registry.local/gone:1", "pull access denied"), ("x/broken:1", "EOF")):
        harness.engine.missing.add("registry.local/gone:1")
        spec = EnvironmentSpec(name="gone", image=image)
        with pytest.raises(InvalidDeployment, match=f"{image} cannot be pulled: .*{why}"):
            await harness.runtime().deploy(spec, replicas=1, resources=SMALL)
    assert [each.name for each in await harness.runtime().list_deployed()] == ["echo"]


async def test_a_new_version_is_tried_beside_the_old_one(harness: DockerHarness) -> None:
    await deploy(harness, "echo")
    old = next(iter(harness.engine.containers.values()))
    with pytest.raises(DeploymentFailed):
        await deploy(harness, "echo", "hang", version="2.0.0", wait_seconds=0.4)
    assert list(harness.engine.containers.values()) == [old]
    await deploy(harness, "echo", version="2.0.0")
    [new] = harness.engine.containers.values()
    assert (new.port, new.name) == (old.port, old.name)
    assert old.signals[0] == "SIGTERM"


def test_usage_is_read_between_two_readings() -> None:
    stats: JsonObject = {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 300},
            "system_cpu_usage": 2000,
            "online_cpus": 4,
        },
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
        "memory_stats": {"usage": 500, "stats": {"inactive_file": 100}},
    }
    usage = read_usage(stats)
    assert usage is not None
    assert (usage.cpu_usage, usage.memory_usage) == (0.8, 400)
    # As of a container that does not run.
    assert read_usage({"cpu_stats": {}, "precpu_stats": {}, "memory_stats": {}}) is None
