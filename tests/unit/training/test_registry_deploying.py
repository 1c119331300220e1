from __future__ import annotations

import asyncio
from typing import cast

import pytest

from agentcore.kit.db import Database
from agentcore.kit.errors import InvalidInput
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    EnvironmentNotFoundError,
    InvalidDeployment,
    RuntimeUnavailable,
)
from agentcore.training.openenv.models import RuntimeName
from agentcore.training.openenv.operations.errors import OperationUnderWay
from agentcore.training.openenv.registration.errors import (
    AmbiguousEnvironment,
    EnvironmentNotServed,
    RuntimeMissing,
)
from agentcore.training.openenv.specs import Resources
from tests.fakes.clock import ManualClock
from tests.fakes.environment_program import REASON
from tests.fakes.environment_registry import World, spec, world


@pytest.fixture
async def here(database: Database, clock: ManualClock) -> World:
    return world(database, clock)


async def test_usage_000_registry_deploy(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    registry = here.registry
    image = spec("a2a-protocol-test", url=None, image="agentcore/a2a-protocol-test:1.0.0")
    await registry.register(image)

    env = await registry.deploy(
        "a2a-protocol-test", replicas=3, resources={"cpu": "1000m", "memory": "2Gi"}
    )
    print(f"Deployed at: {env.url}")  # noqa: T201 - as the specification does

    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "Deployed at: http://a2a-protocol-test.cluster:8000"
    assert (env.name, env.replicas, env.status) == ("a2a-protocol-test", 3, "running")
    deployed = here.cluster.deployments["a2a-protocol-test"]
    assert (deployed.resources.cpu, deployed.resources.memory) == ("1000m", "2Gi")
    assert await registry.list_deployed() == [env]
    metrics = await registry.get_metrics("a2a-protocol-test")
    assert (metrics.cpu_usage, metrics.memory_usage) == (0.25, 64 * 1024 * 1024)
    assert (metrics.request_count, metrics.avg_episode_duration) == (0, None)
    await registry.undeploy("a2a-protocol-test")
    assert await registry.list_deployed() == []
    with pytest.raises(DeploymentNotFound):
        await registry.get_metrics("a2a-protocol-test")


async def test_a_deployment_is_where_callers_go(here: World) -> None:
    await here.registry.register(spec(image="far:1"), validate=False, token_ref="env:FAR_TOKEN")
    await here.registry.deploy("far")
    found = await here.registry.find("far")
    assert found is not None
    assert str(found.url) == "http://far.cluster:8000/"
    assert found.token.get_secret_value() == "far-secret"
    await here.registry.undeploy("far")
    found = await here.registry.find("far")
    assert found is not None
    assert str(found.url) == "http://far.example:8000/"


async def test_bundled_environments_are_deployed_without_registration(here: World) -> None:
    env = await here.registry.deploy("task-routing", runtime="local")
    assert (env.name, env.runtime) == ("task_routing", "local")
    found = await here.registry.find("task_routing")
    assert found is not None
    assert found.token.get_secret_value() == "own-token-local"
    here.probe.found["http://task_routing.cluster:8000/"] = {"status": "healthy"}
    record = await here.registry.check("task_routing")
    assert record.health.status == "healthy"
    assert here.probe.asked == [("http://task_routing.cluster:8000/", "own-token-local")]
    await here.registry.undeploy("task-routing")
    assert await here.registry.find("task_routing") is None
    assert await here.registry.entries() == []


async def test_only_a_registered_environment_is_deployed(here: World) -> None:
    with pytest.raises(EnvironmentNotFoundError):
        await here.registry.deploy("chess")
    for author in ("ann", "bob"):
        each = spec("echo", image="echo:1", source="hub", source_id=f"{author}/echo", revision="1")
        await here.registry.register(each, validate=False)
    with pytest.raises(AmbiguousEnvironment):
        await here.registry.deploy("echo")
    await here.registry.deploy("bob/echo")
    ann, bob = await here.registry.find("ann/echo"), await here.registry.find("bob/echo")
    assert ann is not None
    assert bob is not None
    assert str(bob.url) == "http://echo.cluster:8000/"
    assert str(ann.url) == "http://echo.example:8000/"


async def test_a_spec_is_deployed_without_registration(here: World) -> None:
    image = spec(url=None, image="far:1")
    env = await here.registry.deploy_environment(image, deployment_type="local", replicas=2)
    assert (env.runtime, env.replicas) == ("local", 2)
    env = await here.registry.deploy_environment(spec("other", url=None, image="far:1"))
    assert env.runtime == "kubernetes"
    assert await here.registry.find("far") is None


async def test_impossible_wishes_are_refused_before_anything_is_done(here: World) -> None:
    image = spec(url=None, image="far:1")
    with pytest.raises(RuntimeMissing, match="docker"):
        await here.registry.deploy_environment(image, "docker")
    with pytest.raises(RuntimeMissing, match="there is no deployment type"):
        await here.registry.deploy_environment(image, cast("RuntimeName", "swarm"))
    with pytest.raises(InvalidDeployment):
        await here.registry.deploy_environment(image, replicas=0)
    with pytest.raises(InvalidInput, match="gpu"):
        await here.registry.deploy_environment(image, resources={"gpu": -1})
    with pytest.raises(InvalidInput, match="cores"):
        await here.registry.deploy_environment(image, resources={"cores": 1})
    assert here.cluster.calls == []


async def test_two_deployments_of_a_name_wait_for_each_other(here: World) -> None:
    await here.registry.register(spec(url=None, image="far:1"))
    here.cluster.prompt.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(here.registry.deploy("far"))
        while not here.cluster.calls:
            await asyncio.sleep(0.01)
        with pytest.raises(OperationUnderWay):
            await here.registry.undeploy("far")
        here.cluster.prompt.set()
    assert first.result().status == "running"
    await here.registry.undeploy("far")


async def test_a_submitted_deployment_survives_the_process(
    here: World, database: Database, clock: ManualClock
) -> None:
    await here.registry.register(spec(url=None, image="far:1"))
    here.cluster.prompt.clear()
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(here.operations.run())
        operation = await here.registry.submit_deploy(
            "far", 2, Resources(), None, requested_by="ada"
        )
        while not here.cluster.calls:
            await asyncio.sleep(0.01)
        worker.cancel()
    assert (await here.operations.get(operation.id)).state == "running"
    next_start = world(database, clock, cluster=here.cluster)
    here.cluster.prompt.set()
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(next_start.operations.run())
        async with asyncio.timeout(60):
            while (done := await next_start.operations.get(operation.id)).finished_at is None:
                await asyncio.sleep(0.01)
        worker.cancel()
    assert done.state == "succeeded"
    assert done.result is not None
    assert done.result["url"] == "http://far.cluster:8000"
    assert len(here.cluster.deployments["far"].running) == 2


async def test_failures_of_submitted_work_are_problems(here: World) -> None:
    broken = spec(url=None, image="far:1", tags=["exit"])
    await here.registry.register(broken)
    with pytest.raises(DeploymentFailed):
        await here.registry.deploy("far")
    with pytest.raises(EnvironmentNotServed, match=f"its deployment failed: .*{REASON}"):
        await here.registry.find("far")
    operations = [
        await here.registry.submit_undeploy("far", requested_by="ada"),
        await here.registry.submit_discovery(["rl"], None, register=False, requested_by="ada"),
    ]
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(here.operations.run())
        for operation in operations:
            async with asyncio.timeout(60):
                while (await here.operations.get(operation.id)).finished_at is None:
                    await asyncio.sleep(0.01)
                    here.clock.advance(5)
        worker.cancel()
    removed, discovered = [await here.operations.get(each.id) for each in operations]
    assert removed.state == "succeeded"
    assert discovered.error is not None
    assert discovered.error["code"] == "hub_unavailable"


async def test_what_could_not_begin_leaves_the_name_free(here: World) -> None:
    here.cluster.away = "no credentials"
    with pytest.raises(RuntimeUnavailable, match="no credentials"):
        await here.registry.deploy("task_routing")
    assert await here.registry.list_deployed() == []
    assert await here.registry.entries() == []
    here.cluster.away = ""
    deployed = await here.registry.deploy("task_routing", runtime="local")
    assert (deployed.runtime, deployed.status) == ("local", "running")
    # What runs is remembered whoever cannot be reached.
    here.cluster.away = "gone"
    with pytest.raises(RuntimeUnavailable, match="gone"):
        await here.registry.deploy("task_routing", replicas=2, runtime="local")
    assert [each.name for each in await here.registry.list_deployed()] == ["task_routing"]


async def test_only_what_is_deployed_or_just_being_deployed_is_removed(here: World) -> None:
    with pytest.raises(DeploymentNotFound, match="'nothing' is not deployed"):
        await here.registry.submit_undeploy("nothing", requested_by="ada")
    await here.registry.register(spec(url=None, image="far:1"))
    with pytest.raises(DeploymentNotFound):
        await here.registry.submit_undeploy("far", requested_by="ada")
    await here.registry.submit_deploy("far", 1, Resources(), None, requested_by="ada")
    with pytest.raises(OperationUnderWay):
        await here.registry.submit_undeploy("far", requested_by="ada")
