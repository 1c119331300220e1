"""Tests of parallax/deployment.py and of k8s/parallax, which is made by it."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
from docs import _generate_cluster
from pydantic import ValidationError

from agentcore.llm_gateway.parallax.deployment import (
    ClusterPlan,
    cluster_objects,
    scheduler_command,
    worker_command,
)

FILES = _generate_cluster.files()
# Flags of ``parallax run``, ``parallax join`` and of what they pass on, at commit 162354a.
RUN = {"-u", "-m", "-n", "--host", "--port", "--tcp-port", "--udp-port"}
JOIN = {
    *("-u", "-s", "--host", "--port", "--tcp-port", "--udp-port"),
    *("--max-concurrent-requests", "--max-sequence-length"),
}


def documents() -> list[dict[str, Any]]:
    texts = [text for name, text in FILES.items() if name != "kustomization.yaml"]
    return [each for text in texts for each in yaml.safe_load_all(text)]


def by_kind(kind: str, name: str) -> dict[str, Any]:
    [found] = [
        each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_the_files_are_up_to_date() -> None:
    folder = _generate_cluster.FOLDER
    assert {path.name for path in folder.iterdir()} == set(FILES)
    stale = [name for name, text in FILES.items() if (folder / name).read_text() != text]
    assert not stale, "run: python docs/_generate_cluster.py"


def test_kubernetes_takes_every_object() -> None:
    for each in documents():
        # Kubernetes itself does not know this kind; the operator that does is checked below.
        if each["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(each, "1.36", strict=True)


def test_the_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load(FILES["kustomization.yaml"])
    assert set(kustomization["resources"]) == set(FILES) - {"kustomization.yaml"}


def test_only_flags_that_exist_are_given() -> None:
    plan = ClusterPlan()
    run, join = scheduler_command(plan), worker_command(plan)
    assert (run[:2], join[:2]) == (["parallax", "run"], ["parallax", "join"])
    assert {word for word in run if word.startswith("-")} == RUN
    assert {word for word in join if word.startswith("-")} == JOIN


def test_the_schedulers_key_outlives_its_pod() -> None:
    pod = by_kind("Deployment", "parallax-controller")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [mount] = container["volumeMounts"]
    # It writes the key to its working directory.
    assert container["workingDir"] == mount["mountPath"]
    claim = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert by_kind("PersistentVolumeClaim", claim)


def test_workers_join_by_an_address_that_needs_no_relay() -> None:
    plan = ClusterPlan(peer_id="12D3KooWLX7MWuzi1Txa5LyZS4eTQ2tPaJijheH8faHggB9SxnBu")
    assert plan.scheduler_address.startswith("/dns4/parallax-controller.")
    assert plan.scheduler_address.endswith(f"/p2p/{plan.peer_id}")
    [config] = cluster_objects(plan)["cluster-config.yaml"]
    data: Any = config["data"]
    assert data["SCHEDULER_ADDR"] == plan.scheduler_address


def test_only_the_gateway_reaches_the_scheduler() -> None:
    policy = by_kind("NetworkPolicy", "parallax-controller")["spec"]
    reaching = [
        rule for rule in policy["ingress"] if {"protocol": "TCP", "port": 3001} in rule["ports"]
    ]
    [rule] = reaching
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "agentcore"}}}
    ]


def test_metrics_are_read_where_they_are_served() -> None:
    monitor = by_kind("ServiceMonitor", "parallax-monitoring")["spec"]
    service = by_kind("Service", "parallax-metrics")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports
    pods = by_kind("StatefulSet", "parallax-gpu-worker")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pods["metadata"]["labels"].items()


def test_each_service_leads_to_ports_of_its_pods() -> None:
    pods = [each["spec"]["template"] for each in documents() if "template" in each.get("spec", {})]
    for each in documents():
        if each["kind"] != "Service":
            continue
        [pod] = [
            pod
            for pod in pods
            if each["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        named = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= named


@pytest.mark.parametrize(
    "wrong",
    [{"model": ""}, {"model": "a b"}, {"workers": 0}, {"peer_id": "0OIl"}, {"gpu": 1}],
    ids=str,
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClusterPlan.model_validate(wrong)
