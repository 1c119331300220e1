"""Kubernetes' own promises; what it shares with other runtimes is tests/contracts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import yaml
from docs import _generate_manifests

from agentcore.training.openenv.errors import (
    ClusterRefused,
    DeploymentFailed,
    DeploymentNotFound,
    InvalidDeployment,
    RuntimeUnavailable,
)
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.contracts.environment_runtimes.harness import SMALL, deploy
from tests.contracts.environment_runtimes.kubernetes_harness import (
    SECRET,
    KubernetesHarness,
    kubernetes_harness,
)
from tests.fakes.kubernetes_api import Fault, kubeconfig
from tests.fakes.kubernetes_controllers import QUOTA, SCHEDULER
from tests.fakes.waiting import in_time

NAMESPACE = "agentcore-openenv"


@pytest.fixture
async def harness() -> AsyncIterator[KubernetesHarness]:
    async with kubernetes_harness() as opened:
        yield opened


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("absent", "ImagePullBackOff: Back-off pulling image"),
        ("exit", "CrashLoopBackOff: .*reading the configuration | no licence file found"),
        ("quota", QUOTA),
    ],
)
async def test_what_cannot_start_fails_at_once_with_the_clusters_reason(
    harness: KubernetesHarness, behaviour: str, reason: str
) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(DeploymentFailed, match=reason) as failed:
            await deploy(harness, "echo", behaviour, wait_seconds=600)
    assert "kubectl --namespace agentcore-openenv describe pods" in failed.value.hint


async def test_a_pod_without_a_node_is_waited_for_and_explained(harness: KubernetesHarness) -> None:
    async def wait(seconds: float) -> None:
        why = rf"within {seconds:g} s: Unschedulable: {SCHEDULER[:20]}"
        with pytest.raises(DeploymentFailed, match=why):
            await deploy(harness, "echo", "huge", wait_seconds=seconds)

    await in_time(wait, 0.3)


async def test_undeploying_takes_everything_that_belongs_to_it(harness: KubernetesHarness) -> None:
    await harness.runtime().deploy(bundled(), replicas=1, resources=SMALL)
    await deploy(harness, "other")
    kinds = {key[0] for key in harness.api.objects}
    assert kinds >= {"deployments", "services", "networkpolicies", "secrets"}
    # Half of it is gone already, as when the last attempt broke off.
    app = harness.api.objects["deployments", NAMESPACE, "serve-env"]
    harness.api.remove("deployments", app)
    await harness.runtime().undeploy("serve")
    assert {key[2] for key in harness.api.objects if key[0] != "pods"} == {"other-env"}


def bundled() -> EnvironmentSpec:
    return EnvironmentSpec(
        name="serve", version="1.0.0", source="bundled", image="registry.local/serve:1.0.0"
    )


async def test_only_own_images_get_what_signs_tokens(harness: KubernetesHarness) -> None:
    await harness.runtime().deploy(bundled(), replicas=1, resources=SMALL)
    await deploy(harness, "foreign")
    secrets = [value for key, value in harness.api.objects.items() if key[0] == "secrets"]
    assert [each["stringData"] for each in secrets] == [{"jwt-secret": SECRET}]
    foreign = harness.api.objects["deployments", NAMESPACE, "foreign-env"]
    assert "jwt-secret" not in str(foreign)


async def test_somebody_elses_deployment_is_left_alone(harness: KubernetesHarness) -> None:
    await deploy(harness, "a_b")
    with pytest.raises(InvalidDeployment, match="belongs to the environment a_b"):
        await deploy(harness, "a-b")
    with pytest.raises(DeploymentNotFound):
        await harness.runtime().undeploy("a-b")
    theirs = harness.api.objects["deployments", NAMESPACE, "a-b-env"]
    theirs["metadata"]["annotations"] = {}
    with pytest.raises(InvalidDeployment, match="belongs to somebody else"):
        await deploy(harness, "a_b")


async def test_passing_faults_are_waited_out(harness: KubernetesHarness) -> None:
    harness.api.faults += [
        Fault(status=500, method="PATCH"),
        Fault(status=429, path="services", headers={"retry-after": "0"}),
        Fault(status=409, method="PATCH", path="deployments", reason="Conflict"),
        Fault(drop=True, method="GET", path="pods"),
    ]
    assert (await deploy(harness, "echo")).status == "running"
    assert not any(fault.times for fault in harness.api.faults)


async def test_a_server_that_keeps_failing_is_named(harness: KubernetesHarness) -> None:
    harness.api.faults.append(Fault(status=503, times=99, message="etcd has no leader"))
    with pytest.raises(RuntimeUnavailable, match=rf"{harness.api.url}.*503: etcd has no leader"):
        await deploy(harness, "echo")


async def test_watches_that_break_only_slow_it_down(harness: KubernetesHarness) -> None:
    harness.api.oldest = 10**9
    assert (await deploy(harness, "echo")).status == "running"


async def test_what_the_account_may_not_do_is_said_with_a_way_out(
    harness: KubernetesHarness,
) -> None:
    harness.api.forbidden.add("deployments")
    with pytest.raises(ClusterRefused, match="cannot get resource") as refused:
        await deploy(harness, "echo")
    assert "Role" in refused.value.hint


async def test_an_absent_namespace_is_said_with_a_way_out(harness: KubernetesHarness) -> None:
    harness.api.namespaces.clear()
    with pytest.raises(ClusterRefused, match='namespaces "agentcore-openenv" not found') as refused:
        await deploy(harness, "echo")
    assert "namespace.yaml" in refused.value.hint


async def test_credentials_that_the_cluster_does_not_know(harness: KubernetesHarness) -> None:
    harness.kubeconfig.write_text(yaml.safe_dump(kubeconfig(harness.api.url, token="old")))
    with pytest.raises(ClusterRefused, match="does not accept these credentials") as refused:
        await harness.runtime().list_deployed()
    assert "kubeconfig" in refused.value.hint


async def test_usage_is_summed_over_pods_where_the_cluster_measures(
    harness: KubernetesHarness,
) -> None:
    await deploy(harness, "echo", replicas=2)
    assert await harness.runtime().usage("echo") is None
    container = {"name": "environment", "usage": {"cpu": "125000000n", "memory": "51200Ki"}}
    harness.api.metrics = lambda pod: {"metadata": pod["metadata"], "containers": [container]}
    usage = await harness.runtime().usage("echo")
    assert usage is not None
    assert (usage.cpu_usage, usage.memory_usage) == (0.25, 2 * 51200 * 1024)


async def test_deploying_uses_no_more_than_the_shipped_role_allows(
    harness: KubernetesHarness,
) -> None:
    harness.api.metrics = lambda pod: {"containers": []}
    with pytest.raises(DeploymentFailed):
        await deploy(harness, "broken", "exit")
    await harness.runtime().deploy(bundled(), replicas=1, resources=SMALL)
    await harness.runtime().usage("serve")
    await harness.runtime().list_deployed()
    await harness.runtime().undeploy("serve")
    assert harness.api.used <= allowed(_generate_manifests.role())


def allowed(role: dict[str, object]) -> set[tuple[str, str]]:
    rules = role["rules"]
    assert isinstance(rules, list)
    return {
        (verb, f"{resource}.{group}" if group else resource)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_who_waits_is_told_how_far_it_is(harness: KubernetesHarness) -> None:
    await deploy(harness, "echo", replicas=2)
    assert harness.told[-1] == "2 of 2 replicas are ready"
