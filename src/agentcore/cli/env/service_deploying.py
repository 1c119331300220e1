"""Deployments of a running service, which also knows what is registered with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentcore.cli.client import ServiceClient, refusal
from agentcore.kit.errors import InvalidInput

if TYPE_CHECKING:
    from agentcore.kit.jsonvalue import JsonObject
    from agentcore.training.openenv.specs import (
        DeployedEnvironment,
        Resources,
        ResourceUsage,
        RuntimeName,
    )

ROOT = "/internal/environments"
POLL_SECONDS = 0.2


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
        return DeployedEnvironment.model_validate(
            self._ended(self._client.post(f"{ROOT}/{name}/deploy", body))
        )

    def undeploy(self, name: str) -> None:
        self._ended(self._client.delete(f"{ROOT}/{name}/deploy"))

    def listed(self) -> list[DeployedEnvironment]:
        from agentcore.training.openenv.specs import DeployedEnvironment

        found = self._client.get(f"{ROOT}/deployed").get("deployed")
        rows = found if isinstance(found, list) else []
        return [DeployedEnvironment.model_validate(row) for row in rows]

    def one(self, name: str) -> tuple[DeployedEnvironment, ResourceUsage | None]:
        from agentcore.training.openenv.specs import ResourceUsage

        metrics = self._client.get(f"{ROOT}/{name}/metrics")
        processors, memory = metrics.get("cpu_usage"), metrics.get("memory_usage")
        known = isinstance(processors, int | float) and isinstance(memory, int)
        usage = (
            ResourceUsage.model_validate({"cpu_usage": processors, "memory_usage": memory})
            if known
            else None
        )
        for each in self.listed():
            if each.name == name:
                return each, usage
        raise InvalidInput(f"{name!r} has just been undeployed")

    def _ended(self, operation: JsonObject) -> JsonObject:
        """What the operation came to; its failure in the words of the service."""
        while operation.get("state") in {"pending", "running"}:
            self._tell(str(operation["state"]))
            time.sleep(POLL_SECONDS)
            operation = self._client.get(f"{ROOT}/operations/{operation['id']}")
        error, result = operation.get("error"), operation.get("result")
        if isinstance(error, dict):
            raise refusal(str(error.get("detail")), error)
        return result if isinstance(result, dict) else {}
