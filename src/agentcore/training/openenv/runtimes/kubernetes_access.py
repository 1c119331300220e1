"""The way into a cluster: credentials as kubectl finds them, and what its answers mean to us."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcore.kit.errors import AgentCoreError, first_line
from agentcore.kit.jsonvalue import object_in
from agentcore.training.openenv.errors import (
    PASSING,
    ClusterRefused,
    InvalidDeployment,
    RuntimeUnavailable,
)
from agentcore.training.openenv.models import DeploymentConfig

if TYPE_CHECKING:
    import aiohttp

NO_CREDENTIALS = (
    "set training.deployment.kubeconfig (or KUBECONFIG), or run inside the cluster; "
    "`kubectl get pods` has to work"
)
# What a server answers to one of two that write at the same moment.
WRITTEN_MEANWHILE = "Conflict"


@asynccontextmanager
async def open_api(config: DeploymentConfig) -> AsyncIterator[Any]:
    """The official client's ``ApiClient``.

    Raises:
        RuntimeUnavailable: the client is not installed, or there are no credentials it can use.
    """
    try:
        import kubernetes.aio
        import yaml  # noqa: PLC0415 -- comes with the client
        from kubernetes.aio import client
    except ImportError as exc:
        raise RuntimeUnavailable(
            "the Kubernetes client is not installed", hint="install agentcore[k8s]"
        ) from exc
    configuration = client.Configuration()
    try:
        await _load_credentials(kubernetes.aio.config, config, configuration)
        api = client.ApiClient(configuration)
    # A kubeconfig may hold anything: whatever is wrong with it, this is what it means.
    except (
        kubernetes.aio.config.ConfigException,
        *(yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError),
    ) as exc:
        raise RuntimeUnavailable(
            f"there are no usable cluster credentials: {first_line(exc)}", hint=NO_CREDENTIALS
        ) from exc
    async with api:
        yield api


async def _load_credentials(kube: Any, config: DeploymentConfig, configuration: Any) -> None:
    """The named file, else the one that kubectl would take, else what a pod is given."""
    usual = str(kube.KUBE_CONFIG_DEFAULT_LOCATION)
    there = any(Path(each).expanduser().is_file() for each in usual.split(os.pathsep) if each)
    # The library only warns of it, and then misses a member.
    if config.kubeconfig and not Path(config.kubeconfig).expanduser().is_file():
        raise FileNotFoundError(f"there is no file {config.kubeconfig}")
    if config.kubeconfig or there:
        file = str(Path(config.kubeconfig).expanduser()) if config.kubeconfig else None
        await kube.load_kube_config(
            file, config.context or None, configuration, persist_config=False
        )
        return
    try:
        kube.load_incluster_config(configuration)
    except kube.ConfigException as exc:
        raise FileNotFoundError(f"there is no {usual}, and this is no pod") from exc


@contextmanager
def reaching(host: str) -> Iterator[None]:
    """Whatever keeps us from the server becomes one error that names it."""
    import aiohttp  # noqa: PLC0415 -- a request is under way

    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        why = "it does not answer in time" if isinstance(exc, TimeoutError) else first_line(exc)
        raise RuntimeUnavailable(
            f"the Kubernetes API server {host} cannot be reached: {why}", hint=NO_CREDENTIALS
        ) from exc


def refusal(host: str, response: aiohttp.ClientResponse, body: bytes) -> AgentCoreError:
    """What an answer of 400 or more means; bodies are not always JSON."""
    said = object_in(body)
    status, reason = response.status, str(said.get("reason", ""))
    message = str(said.get("message") or body.decode(errors="replace").strip()[:300])
    if status in PASSING or (status == 409 and reason == WRITTEN_MEANWHILE):
        after = response.headers.get("retry-after", "")
        return RuntimeUnavailable(
            f"the Kubernetes API server {host} answers {status}: {message}",
            retry_after=float(after) if after.isdecimal() else None,
        )
    if status == 401:
        return ClusterRefused(
            f"{host} does not accept these credentials: {message}",
            hint=NO_CREDENTIALS,
            status=status,
            reason=reason,
        )
    if status in {400, 422}:
        return InvalidDeployment(f"the cluster refuses it: {message}")
    return ClusterRefused(message, hint=_hint(status, message), status=status, reason=reason)


def _hint(status: int, message: str) -> str:
    if status == 403 and "exceeded quota" not in message:
        return "the account needs a Role in this namespace: docs/how-to/deploy-an-environment.md"
    if status == 404 and message.startswith("namespaces"):
        return "create it: kubectl apply -f k8s/openenv/namespace.yaml"
    return ""
