"""The few things that deploying asks of a Kubernetes API server, over the official client.

The client brings credentials, TLS and transport; bodies are plain JSON both ways, because its
models refuse members that a newer server adds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, object_in, object_of, objects_of
from agentcore.kit.resilience import retry
from agentcore.training.openenv.errors import ClusterRefused, InvalidDeployment, RuntimeUnavailable
from agentcore.training.openenv.runtimes.kubernetes_access import reaching, refusal
from agentcore.training.openenv.runtimes.kubernetes_objects import KubernetesObject
from agentcore.training.openenv.runtimes.quantities import amount
from agentcore.training.openenv.specs import ResourceUsage

if TYPE_CHECKING:
    import aiohttp

Kind = Literal["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "Secret", "Pod"]
PATHS: Mapping[str, str] = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Pod": "/api/v1/namespaces/{}/pods",
}
METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"
FIELD_MANAGER = "agentcore"
REQUEST_SECONDS = 15.0
PAGE = 250
BREATH_SECONDS = 0.2
JSON = "application/json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Listing:
    """``version`` is where a watch of the same goes on."""

    items: tuple[JsonObject, ...]
    version: str


class KubernetesClient:
    """One namespace of one cluster. Every request is idempotent and repeated on passing faults.

    All raise ``RuntimeUnavailable`` where the server cannot be reached or does not let us in, and
    ``ClusterRefused`` or ``InvalidDeployment`` where it says no.
    """

    def __init__(self, api: Any, namespace: str, clock: Clock) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._host = str(api.configuration.host)

    async def apply(self, wanted: KubernetesObject) -> JsonObject:
        """Make it so, on the server's side; what others set stays unless we set it too."""
        path = f"{self._path(wanted.kind)}/{wanted.metadata.name}"
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        return await self._json("PATCH", path, query, wanted.document(), content=APPLY)

    async def get(self, kind: Kind, name: str) -> JsonObject | None:
        try:
            return await self._json("GET", f"{self._path(kind)}/{name}")
        except ClusterRefused as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, selector: str) -> Listing:
        """All pages of what carries the labels."""
        found: list[JsonObject] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = await self._json("GET", self._path(kind), query)
            found += objects_of(page.get("items"))
            meta = object_of(page.get("metadata"))
            more = meta.get("continue")
            if not isinstance(more, str) or not more:
                return Listing(tuple(found), str(meta.get("resourceVersion") or ""))
            query = {**query, "continue": more}

    async def delete(self, kind: Kind, name: str) -> bool:
        """Begin its end, and that of what it owns; False where there was none."""
        try:
            body: JsonObject = {"propagationPolicy": "Background"}
            await self._json("DELETE", f"{self._path(kind)}/{name}", {}, body)
        except ClusterRefused as error:
            if error.status == 404:
                return False
            raise
        return True

    async def changed(self, since: Mapping[Kind, str], selector: str, seconds: float) -> None:
        """Return on a change after these versions of what carries the labels, or after ``seconds``.

        A hint only: whoever decides lists again. So a watch that breaks is no error.
        """
        end = self._clock.monotonic() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as watches:
                tasks = [
                    watches.create_task(self._first(kind, selector, version, seconds))
                    for kind, version in since.items()
                ]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                told = any(task.done() and task.result() for task in tasks)
                for task in tasks:
                    task.cancel()
                if told:
                    return
        # A server that ends watches at once is not asked in a tight loop.
        await self._clock.sleep(max(0.0, min(end - self._clock.monotonic(), BREATH_SECONDS)))

    async def _first(self, kind: Kind, selector: str, version: str, seconds: float) -> bool:
        """Whether anything happened before the watch ended."""
        with suppress(RuntimeUnavailable, ClusterRefused, InvalidDeployment):
            async for event in self.watch(kind, selector, version, seconds):
                return event.get("type") != "ERROR"
        return False

    async def watch(
        self, kind: Kind, selector: str, version: str, seconds: float
    ) -> AsyncIterator[JsonObject]:
        """Events after a version, until the server or ``seconds`` end it.

        The last may be an ERROR: a version that the server has forgotten, for instance.
        """
        query = {
            "labelSelector": selector,
            "resourceVersion": version,
            "watch": "1",
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        response = await self._send("GET", self._path(kind), query, None, JSON)
        with closing(response), reaching(self._host):
            async for line in response.content:
                event = object_in(line)
                yield event
                if event.get("type") == "ERROR":
                    return

    async def logs(self, pod: str, *, lines: int) -> str:
        """The last lines of a pod's life before this one; empty where there are none."""
        query = {"tailLines": str(lines), "previous": "true"}
        try:
            body = await self._body("GET", f"{self._path('Pod')}/{pod}/log", query, None, JSON)
        except ClusterRefused:
            return ""
        return body.decode(errors="replace").strip()

    async def get_pod_metrics(self, selector: str) -> ResourceUsage | None:
        """What all pods with the labels use; None where the cluster does not measure."""
        try:
            answer = await self._json(
                "GET", METRICS.format(self._namespace), {"labelSelector": selector}
            )
        except ClusterRefused as error:
            if error.status == 404:
                return None
            raise
        used = [
            object_of(container.get("usage"))
            for pod in objects_of(answer.get("items"))
            for container in objects_of(pod.get("containers"))
        ]
        return ResourceUsage(
            cpu_usage=float(sum(amount(str(each.get("cpu", "0"))) for each in used)),
            memory_usage=int(sum(amount(str(each.get("memory", "0"))) for each in used)),
        )

    def _path(self, kind: str) -> str:
        return PATHS[kind].format(self._namespace)

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        *,
        content: str = JSON,
    ) -> JsonObject:
        return object_in(await self._body(method, path, query or {}, body, content))

    async def _body(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None,
        content: str,
    ) -> bytes:
        async def once() -> bytes:
            response = await self._send(method, path, query, body, content)
            with closing(response), reaching(self._host):
                data: bytes = await response.read()
                return data

        return await retry(once, on=(RuntimeUnavailable,), clock=self._clock)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None,
        content: str,
    ) -> aiohttp.ClientResponse:
        with reaching(self._host):
            request = await self._api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(*request, _request_timeout=REQUEST_SECONDS)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 400:
                with closing(response):
                    raise refusal(self._host, response, await response.read())
        return response
