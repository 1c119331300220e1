"""k8s/openenv is what docs/_generate_manifests.py writes, and what Kubernetes takes."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml
from docs import _generate_manifests

FILES = _generate_manifests.files()


def test_the_files_are_up_to_date() -> None:
    folder = _generate_manifests.FOLDER
    assert {path.name for path in folder.iterdir()} == set(FILES)
    stale = [name for name, text in FILES.items() if (folder / name).read_text() != text]
    assert not stale, "run: python docs/_generate_manifests.py"


@pytest.mark.parametrize("name", sorted(set(FILES) - {"kustomization.yaml"}))
def test_kubernetes_takes_every_object(name: str) -> None:
    for document in yaml.safe_load_all(FILES[name]):
        kubernetes_validate.validate(document, "1.36", strict=True)


def test_the_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load(FILES["kustomization.yaml"])
    assert set(kustomization["resources"]) == set(FILES) - {"kustomization.yaml"}


def test_the_ingress_leads_to_the_services() -> None:
    ingress = yaml.safe_load(FILES["ingress.yaml"])
    services = {
        document["metadata"]["name"]: document["spec"]["ports"][0]["port"]
        for text in FILES.values()
        for document in yaml.safe_load_all(text)
        if document["kind"] == "Service"
    }
    for path in ingress["spec"]["rules"][0]["http"]["paths"]:
        service = path["backend"]["service"]
        assert services[service["name"]] == service["port"]["number"]
