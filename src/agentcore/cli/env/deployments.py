"""Deployments as commands ask for them: of a runtime itself, or of a service that has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentcore.cli.client import ServiceClient
from agentcore.cli.env.operations import ROOT, ended
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, list_of

if TYPE_CHECKING:
    from agentcore.training.openenv.models import RuntimeName
    from agentcore.training.openenv.ports import EnvironmentRuntime
    from agentcore.training.openenv.specs import (
        DeployedEnvironment,
        EnvironmentSpec,
        Resources,
        ResourceUsage,
    )


class RuntimeDeployments:
    """No service is needed; what is registered with one is not known either."""

    def __init__(self, running: EnvironmentRuntime) -> None:
        self._running = running

    def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        return asyncio.run(self._running.deploy(spec, replicas=replicas, resources=resources))

    def undeploy(self, name: str, *, forget: bool = False) -> None:
        if forget:
            raise InvalidInput(
                "--forget goes with --url", hint="without a service nothing is remembered"
            )
        asyncio.run(self._running.undeploy(name))

    def listed(self) -> list[DeployedEnvironment]:
        return asyncio.run(self._running.list_deployed())

    def usage(self, name: str) -> ResourceUsage | None:
        return asyncio.run(self._running.usage(name))


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

    def undeploy(self, name: str, *, forget: bool = False) -> None:
        query = "?forget=true" if forget else ""
        ended(self._client, self._client.delete(f"{ROOT}/{name}/deploy{query}"), self._tell)

    def listed(self) -> list[DeployedEnvironment]:
        from agentcore.training.openenv.specs import DeployedEnvironment

        rows = list_of(self._client.get(f"{ROOT}/deployed").get("deployed"))
        return [DeployedEnvironment.model_validate(row) for row in rows]

    def usage(self, name: str) -> ResourceUsage | None:
        from agentcore.training.openenv.specs import ResourceUsage

        metrics = self._client.get(f"{ROOT}/{name}/metrics")
        processors, memory = metrics.get("cpu_usage"), metrics.get("memory_usage")
        if isinstance(processors, int | float) and isinstance(memory, int):
            return ResourceUsage(cpu_usage=processors, memory_usage=memory)
        return None
