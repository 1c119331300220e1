from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.db import Database
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    RuntimeUnavailable,
)
from agentcore.training.openenv.models import RuntimeName
from agentcore.training.openenv.registration.errors import DeploymentNameTaken, RuntimeMissing
from agentcore.training.openenv.registration.fleet import Fleet
from agentcore.training.openenv.registration.store import DeploymentStore
from agentcore.training.openenv.specs import DeployedEnvironment, Resources
from tests.fakes.clock import ManualClock
from tests.fakes.environment_program import REASON
from tests.fakes.environment_registry import spec
from tests.fakes.environment_runtime import FakeCluster, FakeRuntime


class Harbour:
    def __init__(self, database: Database) -> None:
        self.far, self.near = FakeCluster(), FakeCluster()
        runtimes: dict[RuntimeName, FakeRuntime] = {
            "kubernetes": FakeRuntime(self.far),
            "local": FakeRuntime(self.near, "local"),
        }
        self.store = DeploymentStore(database, "agentcore")
        self.fleet = Fleet(self.store, runtimes, default="kubernetes", clock=ManualClock())

    async def deploy(
        self, name: str = "echo", behaviour: str = "serve", **changed: Any
    ) -> DeployedEnvironment:
        runtime = changed.pop("runtime", "kubernetes")
        return await self.fleet.deploy(
            spec(name, tags=[behaviour], **{"source_id": name, **changed}),
            replicas=2,
            resources=Resources(),
            runtime=runtime,
        )


@pytest.fixture
def harbour(database: Database) -> Harbour:
    return Harbour(database)


async def test_what_is_deployed_is_recorded_listed_and_removed(harbour: Harbour) -> None:
    deployed = await harbour.deploy()
    near = await harbour.deploy("maze", runtime="local")
    assert await harbour.fleet.list_deployed() == [deployed, near]
    record = await harbour.fleet.record("echo")
    assert record is not None
    assert (record.status, record.url, record.ready) == ("running", deployed.url, 2)
    usage = await harbour.fleet.usage("maze")
    assert usage is not None
    await harbour.fleet.undeploy("echo")
    assert await harbour.fleet.list_deployed() == [near]
    assert await harbour.fleet.record("echo") is None
    with pytest.raises(DeploymentNotFound):
        await harbour.fleet.undeploy("echo")
    with pytest.raises(DeploymentNotFound):
        await harbour.fleet.usage("echo")


async def test_a_failure_is_recorded_in_the_runtimes_words(harbour: Harbour) -> None:
    with pytest.raises(DeploymentFailed):
        await harbour.deploy(behaviour="exit")
    record = await harbour.fleet.record("echo")
    assert record is not None
    assert (record.status, record.serving) == ("failed", False)
    assert REASON in record.detail
    assert [each.status for each in await harbour.fleet.list_deployed()] == ["failed"]


async def test_an_old_version_goes_on_where_the_new_one_fails(harbour: Harbour) -> None:
    await harbour.deploy(version="1", revision="1")
    with pytest.raises(DeploymentFailed):
        await harbour.deploy(behaviour="exit", version="2", revision="2")
    record = await harbour.fleet.record("echo")
    assert record is not None
    assert (record.spec.version, record.serving) == ("1", True)
    assert REASON in record.detail
    await harbour.deploy(version="3", revision="3")
    record = await harbour.fleet.record("echo")
    assert record is not None
    assert (record.spec.version, record.detail) == ("3", "")


async def test_one_name_is_one_deployment(harbour: Harbour) -> None:
    await harbour.deploy(source="hub", source_id="ann/echo", revision="a")
    with pytest.raises(DeploymentNameTaken, match="hub:ann/echo"):
        await harbour.deploy(source="hub", source_id="bob/echo", revision="b")
    with pytest.raises(DeploymentNameTaken, match="kubernetes"):
        await harbour.deploy(source="hub", source_id="ann/echo", revision="a", runtime="local")
    assert harbour.near.calls == []


async def test_a_runtime_that_is_away_does_not_hide_what_is_known(harbour: Harbour) -> None:
    deployed = await harbour.deploy()
    near = await harbour.deploy("maze", runtime="local")
    harbour.far.away = "no credentials"
    shown, other = await harbour.fleet.list_deployed()
    assert other == near
    assert (shown.status, shown.url) == ("running", deployed.url)
    assert "no credentials" in shown.detail
    with pytest.raises(RuntimeUnavailable, match="no credentials") as caught:
        await harbour.fleet.undeploy("echo")
    assert caught.value.hint.startswith("check the credentials; ")
    assert await harbour.fleet.record("echo") is not None


async def test_what_a_lost_runtime_has_can_be_forgotten(harbour: Harbour) -> None:
    await harbour.deploy()
    harbour.far.away = "the cluster is no more"
    with pytest.raises(DeploymentNameTaken):
        await harbour.deploy(runtime="local")
    await harbour.fleet.undeploy("echo", forget=True)
    assert (await harbour.deploy(runtime="local")).runtime == "local"
    # Nothing is known of this one, so nothing can be forgotten.
    with pytest.raises(RuntimeUnavailable):
        await harbour.fleet.undeploy("maze", forget=True)


async def test_what_went_by_another_hand_is_said_to_be_gone(harbour: Harbour) -> None:
    await harbour.deploy()
    harbour.far.deployments.clear()
    (shown,) = await harbour.fleet.list_deployed()
    assert (shown.status, shown.ready) == ("failed", 0)
    assert "any more" in shown.detail
    await harbour.fleet.undeploy("echo")
    assert await harbour.fleet.list_deployed() == []


async def test_what_another_hand_deployed_is_listed_and_can_be_removed(harbour: Harbour) -> None:
    await FakeRuntime(harbour.far).deploy(spec("echo"), replicas=1, resources=Resources())
    assert [each.name for each in await harbour.fleet.list_deployed()] == ["echo"]
    await harbour.fleet.undeploy("echo")
    assert harbour.far.deployments == {}


async def test_a_runtime_that_is_not_there_is_named(harbour: Harbour) -> None:
    with pytest.raises(RuntimeMissing) as caught:
        await harbour.deploy(runtime="docker")
    assert caught.value.hint == "it has: kubernetes, local"
    assert await harbour.store.listed() == []
