from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcore.training.openenv.errors import RuntimeUnavailable
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.kubernetes_access import open_api
from tests.fakes.kubernetes_api import kubeconfig


async def refusal(config: DeploymentConfig) -> RuntimeUnavailable:
    with pytest.raises(RuntimeUnavailable) as refused:
        async with open_api(config):
            pass
    return refused.value


async def test_without_credentials_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.aio import config as kube

    monkeypatch.setattr(kube, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    refused = await refusal(DeploymentConfig())
    assert refused.detail.startswith("there are no usable cluster credentials: there is no ")
    assert "training.deployment.kubeconfig" in refused.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "contexts: 7",
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: []",
    ],
)
async def test_a_file_that_holds_no_credentials(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    refused = await refusal(DeploymentConfig(kubeconfig=str(path)))
    assert "no usable cluster credentials" in refused.detail


async def test_a_named_file_or_context_must_be_there(tmp_path: Path) -> None:
    await refusal(DeploymentConfig(kubeconfig=str(tmp_path / "absent")))
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig("http://127.0.0.1:1")))
    async with open_api(DeploymentConfig(kubeconfig=str(path), context="test")) as api:
        assert api.configuration.host == "http://127.0.0.1:1"
    assert (
        "other" in (await refusal(DeploymentConfig(kubeconfig=str(path), context="other"))).detail
    )


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    from agentcore.kit.clock import SystemClock
    from agentcore.training.openenv.runtimes.kubernetes_client import KubernetesClient

    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig("http://127.0.0.1:1")))
    async with open_api(DeploymentConfig(kubeconfig=str(path))) as api:
        client = KubernetesClient(api, "default", SystemClock())
        with pytest.raises(RuntimeUnavailable, match=r"http://127.0.0.1:1 cannot be reached"):
            await client.list("Pod", "app=a")
