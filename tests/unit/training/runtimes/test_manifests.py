from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.models import ENVIRONMENT_NAME, DeploymentConfig
from agentcore.training.openenv.runtimes.kubernetes_objects import KubernetesObject
from agentcore.training.openenv.runtimes.manifests import (
    SELECTOR,
    environment_objects,
    signing_secret,
    yaml_documents,
)
from agentcore.training.openenv.specs import EnvironmentSpec, Resources

BUNDLED = EnvironmentSpec(name="a2a_protocol_test", version="1.0.0", source="bundled")
FOREIGN = EnvironmentSpec(name="echo", version="2.1+local", image="registry.local/echo:2")
CONFIG = DeploymentConfig()


def objects(
    spec: EnvironmentSpec = BUNDLED, replicas: int = 3, **resources: Any
) -> dict[str, dict[str, Any]]:
    made = environment_objects(
        spec, CONFIG, replicas=replicas, resources=Resources(**resources), secret="the-secret"
    )
    return {each.kind: each.document() for each in made}


def check(made: KubernetesObject) -> None:
    kubernetes_validate.validate(made.document(), "1.36", strict=True)


def pod(made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = made["Deployment"]["spec"]["template"]["spec"]
    return spec


@settings(max_examples=6, deadline=None)
@given(
    st.from_regex(ENVIRONMENT_NAME, fullmatch=True).filter(lambda name: len(name) < 60),
    st.text(max_size=20),
    st.integers(1, 100),
    st.integers(0, 8),
    st.booleans(),
)
def test_every_spec_makes_objects_that_kubernetes_takes(
    name: str, version: str, replicas: int, gpu: int, bundled: bool
) -> None:
    spec = EnvironmentSpec(
        name=name,
        version=version,
        source="bundled" if bundled else "manual",
        image=None if bundled else "registry.local/x:1",
    )
    resources = Resources(gpu=gpu)
    made = environment_objects(spec, CONFIG, replicas=replicas, resources=resources)
    for each in (*made, signing_secret(spec, "default", "s")):
        check(each)
    assert list(yaml.safe_load_all(yaml_documents(made))) == [each.document() for each in made]


def test_a_deployment_is_that_of_the_specification_where_it_can_be() -> None:
    deployment = objects()["Deployment"]
    meta, spec = deployment["metadata"], deployment["spec"]
    assert meta["labels"]["app"] == "a2a-protocol-test-env"
    assert meta["labels"]["app.kubernetes.io/component"] == "openenv"
    assert meta["labels"]["app.kubernetes.io/version"] == "1.0.0"
    assert spec["replicas"] == 3
    assert spec["selector"]["matchLabels"] == {"app": "a2a-protocol-test-env"}
    [container] = spec["template"]["spec"]["containers"]
    assert container["image"] == "agentcore/openenv-a2a-protocol-test:1.0.0"
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"cpu": "2000m", "memory": "2Gi"},
    }
    assert [port["containerPort"] for port in container["ports"]] == [8000]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}


def test_every_object_is_found_again_by_its_labels() -> None:
    chosen = dict(part.split("=") for part in SELECTOR.split(","))
    for document in objects().values():
        assert chosen.items() <= document["metadata"]["labels"].items()
    template = objects()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert chosen.items() <= template.items()


def test_pods_are_restricted() -> None:
    spec = pod(objects(FOREIGN))
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    security = spec["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_sessions_are_drained_before_a_pod_goes() -> None:
    spec = pod(objects())
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 30
    assert spec["terminationGracePeriodSeconds"] > 30
    at_once = DeploymentConfig(drain_seconds=0)
    made = environment_objects(BUNDLED, at_once, replicas=1, resources=Resources())
    [deployment] = [each.document() for each in made if each.kind == "Deployment"]
    assert "lifecycle" not in str(deployment)


def test_our_own_environments_call_nobody_and_foreign_ones_nothing_private() -> None:
    assert objects()["NetworkPolicy"]["spec"]["egress"] == []
    names, world = objects(FOREIGN)["NetworkPolicy"]["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert "169.254.0.0/16" in world["to"][0]["ipBlock"]["except"]


def test_a_gpu_is_asked_for_as_a_limit() -> None:
    [container] = pod(objects(gpu=2))["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_sessions_of_one_caller_meet_one_pod() -> None:
    service = objects()["Service"]["spec"]
    assert service["sessionAffinity"] == "ClientIP"
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(80, "http")]


@pytest.mark.parametrize(
    ("spec", "replicas", "resources"),
    [
        (BUNDLED, 0, {}),
        (BUNDLED, 1, {"cpu": "8"}),
        (FOREIGN.model_copy(update={"image": None}), 1, {}),
        (BUNDLED.model_copy(update={"name": "../x"}), 1, {}),
    ],
)
def test_what_is_not_to_be_deployed_makes_nothing(
    spec: EnvironmentSpec, replicas: int, resources: dict[str, str]
) -> None:
    with pytest.raises(InvalidDeployment):
        objects(spec, replicas, **resources)
