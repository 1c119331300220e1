"""The client against the server's recorded words, and in what deploying does not need of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.training.openenv.errors import ClusterRefused, InvalidDeployment
from agentcore.training.openenv.runtimes.kubernetes_access import open_api
from agentcore.training.openenv.runtimes.kubernetes_client import PAGE, KubernetesClient
from agentcore.training.openenv.runtimes.kubernetes_objects import ObjectMeta, Secret
from agentcore.training.openenv.runtimes.rollout import part
from tests.contracts.environment_runtimes.kubernetes_harness import (
    KubernetesHarness,
    kubernetes_harness,
)
from tests.fakes.kubernetes_api import Fault


@pytest.fixture
async def harness() -> AsyncIterator[KubernetesHarness]:
    async with kubernetes_harness() as opened:
        yield opened


@pytest.fixture
async def client(harness: KubernetesHarness) -> AsyncIterator[KubernetesClient]:
    config = harness.config()
    async with open_api(config) as api:
        yield KubernetesClient(api, config.namespace, SystemClock())


def secret(name: str) -> Secret:
    return Secret(metadata=ObjectMeta(name=name, labels={"app": "a"}), string_data={"key": "value"})


async def test_applying_twice_is_applying_once(
    client: KubernetesClient, harness: KubernetesHarness
) -> None:
    first = await client.apply(secret("a"))
    assert await client.apply(secret("a")) == first
    found = await client.get("Secret", "a")
    assert found is not None
    assert part(found, "metadata")["uid"] == part(first, "metadata")["uid"]


async def test_long_lists_come_whole(client: KubernetesClient, harness: KubernetesHarness) -> None:
    for number in range(PAGE + 1):
        meta = {"name": f"a{number}", "namespace": "agentcore-openenv", "labels": {"app": "a"}}
        harness.api.put("secrets", {"metadata": meta})
    assert len((await client.list("Secret", "app=a")).items) == PAGE + 1
    assert (await client.list("Secret", "app=b")).items == ()


async def test_what_is_not_there_is_no_error(client: KubernetesClient) -> None:
    assert await client.get("Service", "nobody") is None
    assert await client.delete("Service", "nobody") is False
    assert await client.logs("nobody", lines=3) == ""
    assert await client.get_pod_metrics("app=nobody") is None


async def test_an_invalid_object_is_refused_in_the_servers_words(client: KubernetesClient) -> None:
    with pytest.raises(InvalidDeployment, match="RFC 1123"):
        await client.apply(secret("Not_A_Name"))


async def test_a_watch_tells_what_changes_after_a_version(
    client: KubernetesClient, harness: KubernetesHarness
) -> None:
    await client.apply(secret("a"))
    listing = await client.list("Secret", "app=a")
    await client.apply(secret("b"))
    async for first in client.watch("Secret", "app=a", listing.version, 5):
        assert (first["type"], part(part(first, "object"), "metadata")["name"]) == ("ADDED", "b")
        return
    raise AssertionError("the watch said nothing")


async def test_a_forgotten_version_ends_a_watch(
    client: KubernetesClient, harness: KubernetesHarness
) -> None:
    harness.api.oldest = 5000
    events = [event async for event in client.watch("Secret", "app=a", "7", 5)]
    assert [event["type"] for event in events] == ["ERROR"]
    await client.changed({"Secret": "7"}, "app=a", 0.1)


async def test_bodies_that_are_no_json_are_quoted(
    client: KubernetesClient, harness: KubernetesHarness
) -> None:
    harness.api.faults.append(Fault(status=418, message="a teapot", reason=""))
    with pytest.raises(ClusterRefused, match="a teapot"):
        await client.list("Pod", "app=a")
