"""Deployments on Kubernetes: one Deployment with what belongs to it, told apart by labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    InvalidDeployment,
)
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.kubernetes_access import open_api
from agentcore.training.openenv.runtimes.kubernetes_client import Kind, KubernetesClient
from agentcore.training.openenv.runtimes.manifests import (
    MANAGER,
    NAME_ANNOTATION,
    SELECTOR,
    VERSION_ANNOTATION,
    environment_objects,
    signing_secret,
)
from agentcore.training.openenv.runtimes.naming import check_name, object_name
from agentcore.training.openenv.runtimes.rollout import (
    LOG_LINES,
    Rollout,
    Trouble,
    part,
    read_rollout,
    with_words,
)
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Progress,
    Resources,
    ResourceUsage,
)

# What undeploying looks through; the Deployment first, so that nothing serves half a deployment.
KINDS: tuple[Kind, ...] = (
    "Deployment",
    "Service",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Secret",
)
# The longest that a change goes unnoticed where watching does not work.
LOOK_SECONDS = 2.0

Connect = Callable[[], AbstractAsyncContextManager[KubernetesClient]]


class KubernetesRuntime:
    """``connect`` opens a client per call: credentials may change under a service that runs long.

    ``secret`` signs the tokens that own images ask their callers for.
    """

    def __init__(
        self,
        connect: Connect,
        config: DeploymentConfig,
        secret: str,
        *,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._connect = connect
        self._config = config
        self._secret = secret
        self._clock = clock
        self._progress = progress

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        # Refused before anything is asked of the cluster.
        check_name(spec.name)
        objects = environment_objects(spec, self._config, replicas=replicas, resources=resources)
        async with self._connect() as cluster:
            await self._check_owner(cluster, spec.name)
            if spec.source == "bundled":
                await cluster.apply(signing_secret(spec, self._config.namespace, self._secret))
            for each in objects:
                await cluster.apply(each)
            return await self._served(cluster, spec.name)

    async def undeploy(self, name: str) -> None:
        check_name(name)
        async with self._connect() as cluster:
            found = [
                (kind, str(part(each, "metadata").get("name")))
                for kind in KINDS
                for each in (await cluster.list(kind, f"{SELECTOR},app={object_name(name)}")).items
                if _annotation(each, NAME_ANNOTATION) == name
            ]
            if not found:
                raise self._absent(name)
            for kind, each_name in found:
                await cluster.delete(kind, each_name)

    async def list_deployed(self) -> list[DeployedEnvironment]:
        async with self._connect() as cluster:
            deployments = (await cluster.list("Deployment", SELECTOR)).items
            pods = (await cluster.list("Pod", SELECTOR)).items if deployments else ()
            by_app: defaultdict[str, list[JsonObject]] = defaultdict(list)
            for pod in pods:
                by_app[_app(pod)].append(pod)
            found = []
            for each in deployments:
                rollout = read_rollout(each, by_app[_app(each)])
                detail = await self._reason(cluster, rollout.trouble)
                found.append(self._described(each, rollout, detail))
        return sorted(found, key=lambda deployed: deployed.name)

    async def usage(self, name: str) -> ResourceUsage | None:
        check_name(name)
        async with self._connect() as cluster:
            await self._existing(cluster, name)
            return await cluster.get_pod_metrics(f"app={object_name(name)}")

    async def _check_owner(self, cluster: KubernetesClient, name: str) -> None:
        """Names that differ may be one in DNS, and others have Deployments too."""
        existing = await cluster.get("Deployment", object_name(name))
        if existing is None:
            return
        owner = _annotation(existing, NAME_ANNOTATION)
        labels = part(part(existing, "metadata"), "labels")
        if owner != name or labels.get("app.kubernetes.io/managed-by") != MANAGER:
            whose = f"the environment {owner}" if owner else "somebody else"
            raise InvalidDeployment(
                f"the Deployment {object_name(name)} of the namespace {self._config.namespace} "
                f"belongs to {whose}",
                hint="deploy under another name, or into another namespace",
            )

    async def _existing(self, cluster: KubernetesClient, name: str) -> JsonObject:
        found = await cluster.get("Deployment", object_name(name))
        if found is None or _annotation(found, NAME_ANNOTATION) != name:
            raise self._absent(name)
        return found

    async def _served(self, cluster: KubernetesClient, name: str) -> DeployedEnvironment:
        selector = f"app={object_name(name)}"
        end = self._clock.monotonic() + self._config.wait_seconds
        while True:
            deployment = await cluster.get("Deployment", object_name(name))
            if deployment is None:
                raise DeploymentFailed(f"{name} was undeployed before it served")
            pods = await cluster.list("Pod", selector)
            rollout = read_rollout(deployment, pods.items)
            self._progress(rollout.progress)
            if rollout.done:
                return self._described(deployment, rollout, "")
            left = end - self._clock.monotonic()
            if left <= 0 or (rollout.trouble is not None and rollout.trouble.hopeless):
                reason = await self._reason(cluster, rollout.trouble) or rollout.progress
                raise self._failure(name, reason, in_time=left > 0)
            seen: dict[Kind, str] = {
                "Deployment": str(part(deployment, "metadata").get("resourceVersion", "")),
                "Pod": pods.version,
            }
            await cluster.changed(seen, selector, min(left, LOOK_SECONDS))

    def _failure(self, name: str, reason: str, *, in_time: bool) -> DeploymentFailed:
        seconds = f"{self._config.wait_seconds:g}"
        what = "does not start" if in_time else f"does not serve within {seconds} s"
        return DeploymentFailed(
            f"{name} {what}: {reason}",
            hint=f"kubectl --namespace {self._config.namespace} describe pods --selector "
            f"app={object_name(name)}",
        )

    async def _reason(self, cluster: KubernetesClient, trouble: Trouble | None) -> str:
        """What the cluster says and, of a pod that crashes, what it said itself."""
        if trouble is None:
            return ""
        words = ""
        if trouble.crashed:
            words = await cluster.logs(trouble.pod, lines=LOG_LINES)
        return with_words(trouble.detail, words)

    def _described(
        self, deployment: JsonObject, rollout: Rollout, detail: str
    ) -> DeployedEnvironment:
        name = str(part(deployment, "metadata").get("name"))
        return DeployedEnvironment(
            name=_annotation(deployment, NAME_ANNOTATION) or name,
            url=f"http://{name}.{self._config.namespace}.svc",
            replicas=rollout.wanted,
            status=rollout.status,
            ready=rollout.ready,
            version=_annotation(deployment, VERSION_ANNOTATION),
            runtime="kubernetes",
            detail=detail,
        )

    def _absent(self, name: str) -> DeploymentNotFound:
        return DeploymentNotFound(
            f"{name!r} is not deployed in the namespace {self._config.namespace}",
            hint="`agentcore env status` lists what is",
        )


def connecting(config: DeploymentConfig, clock: Clock) -> Connect:
    """A client of the configured cluster and namespace."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[KubernetesClient]:
        async with open_api(config) as api:
            yield KubernetesClient(api, config.namespace, clock)

    return connect


def _annotation(value: JsonObject, name: str) -> str:
    found = part(part(value, "metadata"), "annotations").get(name)
    return found if isinstance(found, str) else ""


def _app(value: JsonObject) -> str:
    return str(part(part(value, "metadata"), "labels").get("app", ""))
