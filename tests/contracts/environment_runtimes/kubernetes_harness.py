from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentcore.kit.clock import SystemClock
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.kubernetes import KubernetesRuntime, connecting
from agentcore.training.openenv.runtimes.naming import object_name
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.contracts.environment_runtimes.harness import WAIT_SECONDS
from tests.fakes.kubernetes_api import KubernetesApi, kubeconfig, kubernetes_api
from tests.fakes.kubernetes_controllers import controlled, is_ready

SECRET = "what-signs-the-tokens-of-callers"


class KubernetesHarness:
    reachable = False
    most_replicas = 100

    def __init__(self, api: KubernetesApi, folder: Path) -> None:
        self.api = api
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(kubeconfig(api.url)))
        self.told: list[str] = []

    def config(self, *, wait_seconds: float = WAIT_SECONDS) -> DeploymentConfig:
        return DeploymentConfig(
            runtime="kubernetes", wait_seconds=wait_seconds, kubeconfig=str(self.kubeconfig)
        )

    def runtime(self, *, wait_seconds: float = WAIT_SECONDS) -> KubernetesRuntime:
        config, clock = self.config(wait_seconds=wait_seconds), SystemClock()
        return KubernetesRuntime(
            connecting(config, clock), config, SECRET, clock=clock, progress=self.told.append
        )

    def spec(self, name: str, behaviour: str = "serve", version: str = "1.0.0") -> EnvironmentSpec:
        image = f"registry.local/{behaviour}:{version}"
        return EnvironmentSpec(name=name, version=version, image=image)

    async def replicas(self, name: str) -> Sequence[str]:
        pods = self.api.pods(object_name(name))
        return [pod["metadata"]["name"] for pod in pods if is_ready(pod)]

    async def kill(self, replica: str) -> None:
        self.api.remove("pods", self.api.objects["pods", "agentcore-openenv", replica])

    async def leftovers(self) -> Sequence[str]:
        return ["/".join(key) for key in self.api.objects]


@asynccontextmanager
async def kubernetes_harness() -> AsyncIterator[KubernetesHarness]:
    with tempfile.TemporaryDirectory() as folder:
        async with kubernetes_api() as api, controlled(api):
            yield KubernetesHarness(api, Path(folder))
