"""Deployments of a running service, which also knows what is registered with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentcore.cli.client import ServiceClient
from agentcore.cli.env.operations import ROOT, ended
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, list_of

if TYPE_CHECKING:
    from agentcore.training.openenv.specs import (
        DeployedEnvironment,
        Resources,
        ResourceUsage,
        RuntimeName,
    )


class ServiceDeployments:
    """``tell`` hears how far an operation is."""

    def __init__(self, client: ServiceClient, tell: Callable[[str], None]) -> None:
        self._client = client
        self._tell = tell

    def deploy(
        self, name: str, *, replicas: int, resources: Resources, runtime: RuntimeName | None
    ) -> DeployedEnvironment:
        from agentcore.training.openenv.specs import DeployedEnvironment

        body: JsonObject = {"replicas": replicas, "resources": resources.model_dump()}
        if runtime is not None:
            body["runtime"] = runtime
        begun = self._client.post(f"{ROOT}/{name}/deploy", body)
        return DeployedEnvironment.model_validate(ended(self._client, begun, self._tell))

    def undeploy(self, name: str) -> None:
        ended(self._client, self._client.delete(f"{ROOT}/{name}/deploy"), self._tell)

    def listed(self) -> list[DeployedEnvironment]:
        from agentcore.training.openenv.specs import DeployedEnvironment

        rows = list_of(self._client.get(f"{ROOT}/deployed").get("deployed"))
        return [DeployedEnvironment.model_validate(row) for row in rows]

    def one(self, name: str) -> tuple[DeployedEnvironment, ResourceUsage | None]:
        from agentcore.training.openenv.specs import ResourceUsage

        metrics = self._client.get(f"{ROOT}/{name}/metrics")
        processors, memory = metrics.get("cpu_usage"), metrics.get("memory_usage")
        usage = None
        if isinstance(processors, int | float) and isinstance(memory, int):
            usage = ResourceUsage(cpu_usage=processors, memory_usage=memory)
        for each in self.listed():
            if each.name == name:
                return each, usage
        raise InvalidInput(f"{name!r} has just been undeployed")
