"""The port EnvironmentRuntime: what every runtime must do, whatever runs the environments."""

from __future__ import annotations

import asyncio

import pytest

from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    InvalidDeployment,
)
from agentcore.training.openenv.specs import DeployedEnvironment
from tests.contracts.environment_runtimes.harness import SMALL, Harness, ask, deploy
from tests.fakes.environment_program import REASON
from tests.fakes.waiting import in_time


async def listed(harness: Harness) -> dict[str, DeployedEnvironment]:
    return {each.name: each for each in await harness.runtime().list_deployed()}


async def until_ready(harness: Harness, name: str, count: int, *without: str) -> list[str]:
    async with asyncio.timeout(60):
        while True:
            found = list(await harness.replicas(name))
            if len(found) == count and not set(found) & set(without):
                return found
            await asyncio.sleep(0.02)


async def test_what_is_deployed_serves_is_listed_and_goes(harness: Harness) -> None:
    assert await harness.runtime().list_deployed() == []
    deployed = await deploy(harness, "task_routing")
    assert (deployed.name, deployed.status, deployed.ready) == ("task_routing", "running", 1)
    assert (deployed.replicas, deployed.version) == (1, "1.0.0")
    if harness.reachable:
        assert await ask(deployed) == "ok"
    assert await listed(harness) == {"task_routing": deployed}
    await harness.runtime().undeploy("task_routing")
    assert await harness.runtime().list_deployed() == []
    assert await harness.leftovers() == []


async def test_the_same_deployment_again_changes_nothing(harness: Harness) -> None:
    two = min(2, harness.most_replicas)
    first = await deploy(harness, "echo", replicas=two)
    serving = set(await harness.replicas("echo"))
    assert len(serving) == two
    assert await deploy(harness, "echo", replicas=two) == first
    assert set(await harness.replicas("echo")) == serving


async def test_replicas_come_and_go_behind_the_same_url(harness: Harness) -> None:
    if harness.most_replicas < 3:
        with pytest.raises(InvalidDeployment, match="one replica"):
            await deploy(harness, "echo", replicas=2)
        return
    one = await deploy(harness, "echo")
    [oldest] = await harness.replicas("echo")
    three = await deploy(harness, "echo", replicas=3)
    assert (three.ready, three.replicas, three.url) == (3, 3, one.url)
    serving = await harness.replicas("echo")
    assert len(serving) == 3
    assert oldest in serving
    two = await deploy(harness, "echo", replicas=2)
    assert (two.ready, two.url) == (2, one.url)
    assert set(await until_ready(harness, "echo", 2)) < set(serving)


async def test_another_version_replaces_every_replica(harness: Harness) -> None:
    two = min(2, harness.most_replicas)
    old = await deploy(harness, "echo", replicas=two)
    before = await harness.replicas("echo")
    new = await deploy(harness, "echo", version="1.1.0", replicas=two)
    assert (new.version, new.url, new.ready) == ("1.1.0", old.url, two)
    await until_ready(harness, "echo", two, *before)


async def test_what_never_starts_fails_with_its_own_words(harness: Harness) -> None:
    with pytest.raises(DeploymentFailed, match=REASON):
        await deploy(harness, "broken", "exit")
    found = (await listed(harness))["broken"]
    assert (found.status, found.ready) == ("failed", 0)
    assert REASON in found.detail
    # The same name with a better program is a way out; so is taking it away.
    mended = await deploy(harness, "broken", "serve", version="1.0.1")
    assert mended.status == "running"
    await harness.runtime().undeploy("broken")
    assert await harness.leftovers() == []


async def test_a_broken_version_leaves_the_old_one_serving(harness: Harness) -> None:
    old = await deploy(harness, "echo")
    serving = await harness.replicas("echo")
    with pytest.raises(DeploymentFailed, match=REASON):
        await deploy(harness, "echo", "exit", version="1.1.0")
    assert await harness.replicas("echo") == serving
    if harness.reachable:
        assert await ask(old) == "ok"


async def test_waiting_ends_with_the_deadline(harness: Harness) -> None:
    async def wait(seconds: float) -> None:
        try:
            with pytest.raises(DeploymentFailed, match=f"within {seconds:g} s"):
                await deploy(harness, "slow", "hang", wait_seconds=seconds)
            found = (await listed(harness))["slow"]
            assert (found.status, found.ready) == ("pending", 0)
        finally:
            await harness.runtime().undeploy("slow")

    # A process has to have been started until then.
    await in_time(wait, 0.6 if harness.reachable else 0.1)
    assert await harness.leftovers() == []


async def test_impossible_names_and_numbers_are_refused(harness: Harness) -> None:
    for name in ("../up", "Big", "", "a b", "a/b", "a" * 61, "né"):
        spec = harness.spec("x").model_copy(update={"name": name})
        with pytest.raises(InvalidDeployment):
            await harness.runtime().deploy(spec, replicas=1, resources=SMALL)
        with pytest.raises(InvalidDeployment):
            await harness.runtime().undeploy(name)
    for replicas in (-1, 0, 101):
        with pytest.raises(InvalidDeployment):
            await deploy(harness, "echo", replicas=replicas)
    assert await harness.leftovers() == []


async def test_what_is_not_deployed_cannot_be_taken_away_or_measured(harness: Harness) -> None:
    with pytest.raises(DeploymentNotFound):
        await harness.runtime().undeploy("nobody")
    with pytest.raises(DeploymentNotFound):
        await harness.runtime().usage("nobody")
    assert await harness.leftovers() == []


async def test_usage_is_measured_or_said_to_be_unknown(harness: Harness) -> None:
    await deploy(harness, "echo", replicas=min(2, harness.most_replicas))
    usage = await harness.runtime().usage("echo")
    assert usage is None or (usage.memory_usage > 0 and usage.cpu_usage >= 0)


async def test_two_at_once_do_not_disturb_each_other(harness: Harness) -> None:
    two = min(2, harness.most_replicas)
    async with asyncio.TaskGroup() as group:
        same = [group.create_task(deploy(harness, "echo", replicas=n)) for n in (1, two)]
        other = group.create_task(deploy(harness, "other"))
    assert all(task.result().status == "running" for task in (*same, other))
    assert set(await listed(harness)) == {"echo", "other"}
    wanted = (await listed(harness))["echo"].replicas
    assert wanted in {1, 2}
    assert len(await until_ready(harness, "echo", wanted)) == wanted
    await harness.runtime().undeploy("echo")
    assert set(await listed(harness)) == {"other"}


async def test_a_replica_that_dies_comes_back(harness: Harness) -> None:
    two = min(2, harness.most_replicas)
    deployed = await deploy(harness, "echo", replicas=two)
    victim, *survivors = await harness.replicas("echo")
    await harness.kill(victim)
    assert set(survivors) <= set(await until_ready(harness, "echo", two, victim))
    if harness.reachable:
        assert await ask(deployed) == "ok"


async def test_who_gives_up_waiting_leaves_something_that_can_be_undeployed(
    harness: Harness,
) -> None:
    waiting = asyncio.create_task(deploy(harness, "slow", "hang"))
    async with asyncio.timeout(100):
        while "slow" not in await listed(harness):
            assert not waiting.done()
            await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert set(await listed(harness)) <= {"slow"}
    if await listed(harness):
        await harness.runtime().undeploy("slow")
    assert await harness.leftovers() == []
