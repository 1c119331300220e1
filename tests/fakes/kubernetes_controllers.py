"""What happens to Deployments in the fake cluster: pods are made, placed, started, replaced.

The image says how a pod fares: ``registry.local/exit:1`` crashes, ``hang`` never gets ready,
``absent`` cannot be pulled, ``huge`` finds no node, ``quota`` may not be made, others get ready.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.environment_program import REASON
from tests.fakes.kubernetes_api import KubernetesApi, Object

SCHEDULER = "0/1 nodes are available: 1 Insufficient cpu. preemption: not helpful"
QUOTA = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3'
PULL = 'Back-off pulling image "registry.local/absent:1.0.0": not found'


class Controllers:
    """Takes one small step for each Deployment whenever anything has changed."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)
        api.changed = lambda plural: self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for (plural, _, _), deployment in list(self._api.objects.items()):
                if plural == "deployments":
                    self._step(deployment)
            await asyncio.sleep(0.002)

    def _step(self, deployment: Object) -> None:
        spec = deployment["spec"]
        digest = hashlib.sha256(json.dumps(spec["template"]).encode()).hexdigest()[:10]
        pods = self._api.pods(deployment["metadata"]["labels"]["app"])
        fresh = [pod for pod in pods if pod["metadata"]["labels"]["pod-template-hash"] == digest]
        stale = [pod for pod in pods if pod not in fresh]
        for pod in pods:
            self._live(pod)
        starting = [pod for pod in fresh if not is_ready(pod)]
        ready, serving = len(fresh) - len(starting), sum(map(is_ready, stale))
        conditions = []
        if len(fresh) > spec["replicas"]:
            self._api.remove("pods", (starting or fresh)[-1])
        elif stale and (ready + serving > spec["replicas"] or not serving):
            self._api.remove("pods", stale[0])
        elif len(fresh) < spec["replicas"] and not (stale and starting):
            if _behaviour(deployment["spec"]["template"]["spec"]) == "quota":
                failed = {"type": "ReplicaFailure", "status": "True"}
                conditions.append({**failed, "reason": "FailedCreate", "message": QUOTA})
            else:
                self._make(deployment, digest)
        self._report(deployment, digest, conditions)

    def _make(self, deployment: Object, digest: str) -> None:
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        pod = {
            "metadata": {
                "name": f"{meta['name']}-{digest}-{next(self._numbers):05}",
                "namespace": meta["namespace"],
                "labels": {**template["metadata"]["labels"], "pod-template-hash": digest},
            },
            "spec": template["spec"],
            "status": {"phase": "Pending", "conditions": [], "containerStatuses": []},
        }
        self._api.put("pods", pod)

    def _live(self, pod: Object) -> None:
        """One step in the life of a pod; a pod that has arrived stays as it is."""
        after = self._next(pod, _behaviour(pod["spec"]))
        if after is not None and after != pod["status"]:
            self._api.put("pods", {**pod, "status": after})

    def _next(self, pod: Object, behaviour: str) -> Object | None:
        statuses = pod["status"]["containerStatuses"]
        if behaviour == "huge":
            unplaced = {"type": "PodScheduled", "status": "False"}
            return _status({**unplaced, "reason": "Unschedulable", "message": SCHEDULER})
        if not statuses:
            return _status(container=_container(waiting={"reason": "ContainerCreating"}))
        if behaviour == "absent":
            waiting = {"reason": "ImagePullBackOff", "message": PULL}
            return _status(container=_container(waiting=waiting))
        if behaviour == "exit":
            self._api.logs[pod["metadata"]["name"]] = f"reading the configuration\n{REASON}\n"
            message = "back-off 10s restarting failed container"
            waiting = {"reason": "CrashLoopBackOff", "message": message}
            return _status(container=_container(waiting=waiting, crashed=True))
        return _status(container=_container(ready=behaviour != "hang"))

    def _report(self, deployment: Object, digest: str, conditions: list[Object]) -> None:
        pods = self._api.pods(deployment["metadata"]["labels"]["app"])
        fresh = [p for p in pods if p["metadata"]["labels"]["pod-template-hash"] == digest]
        ready = sum(map(is_ready, pods))
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(fresh),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": conditions,
        }
        current = self._api.objects.get(
            ("deployments", deployment["metadata"]["namespace"], deployment["metadata"]["name"])
        )
        if current is deployment and deployment["status"] != status:
            self._api.put("deployments", {**deployment, "status": status})


@asynccontextmanager
async def controlled(api: KubernetesApi) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Controllers(api).run())
        yield
        running.cancel()


def is_ready(pod: Object) -> bool:
    return any(status["ready"] for status in pod["status"]["containerStatuses"])


def _behaviour(spec: Object) -> str:
    image: str = spec["containers"][0]["image"]
    return image.rpartition("/")[2].partition(":")[0]


def _status(condition: Object | None = None, container: Object | None = None) -> Object:
    return {
        "phase": "Pending" if condition else "Running",
        "conditions": [condition] if condition else [],
        "containerStatuses": [container] if container else [],
    }


def _container(
    *, waiting: Object | None = None, ready: bool = False, crashed: bool = False
) -> Object:
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    return {
        "name": "environment",
        "ready": ready,
        "restartCount": 2 if crashed else 0,
        "state": {"waiting": waiting} if waiting else {"running": {}},
        "lastState": ended if crashed else {},
    }
