"""Deploying environments: which runtime runs them, and what it hands to what it runs."""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agentcore.kit.clock import Clock
from agentcore.training.openenv.errors import InvalidDeployment, RuntimeUnavailable
from agentcore.training.openenv.models import DeploymentConfig, RuntimeName
from agentcore.training.openenv.ports import EnvironmentRuntime
from agentcore.training.openenv.specs import EnvironmentSpec, Progress

RUNTIMES: tuple[RuntimeName, ...] = ("local", "docker", "kubernetes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What runtimes need of the installation.

    ``secret`` signs its tokens. ``variables`` are settings for servers of this machine.
    ``references`` says what ``agentcore env serve`` shall serve under the name of a deployment
    that is not bundled: code that runs here, so nothing that others registered may get into it.
    """

    home: Path
    secret: str
    clock: Clock
    progress: Progress
    variables: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)


class Runtimes(Mapping[RuntimeName, EnvironmentRuntime]):
    """Every runtime by its name, opened when it is first asked for: most processes never do, and
    the objects of Kubernetes alone are megabytes. Whether one is there shows when it is used.
    """

    def __init__(self, config: DeploymentConfig, around: Surroundings) -> None:
        self._config = config
        self._around = around
        self._opened: dict[RuntimeName, EnvironmentRuntime] = {}

    def __getitem__(self, name: RuntimeName) -> EnvironmentRuntime:
        if name not in RUNTIMES:
            raise KeyError(name)
        if name not in self._opened:
            self._opened[name] = open_runtime(name, self._config, self._around)
        return self._opened[name]

    def __contains__(self, name: object) -> bool:
        return name in RUNTIMES

    def __iter__(self) -> Iterator[RuntimeName]:
        return iter(RUNTIMES)

    def __len__(self) -> int:
        return len(RUNTIMES)


def open_runtime(
    name: RuntimeName, config: DeploymentConfig, around: Surroundings
) -> EnvironmentRuntime:
    if name == "local":
        return _local(config, around)
    if name == "docker":
        return _docker(config, around)
    return _kubernetes(config, around)


def environments_secret(secret: str) -> str:
    """What signs tokens for environments in containers: nothing else of the installation takes
    them, so an environment that is broken into can be impersonated but not the installation.
    """
    return hmac.new(secret.encode(), b"agentcore environments", hashlib.sha256).hexdigest()


def _local(config: DeploymentConfig, around: Surroundings) -> EnvironmentRuntime:
    try:
        from agentcore.training.openenv.runtimes import local  # noqa: PLC0415 -- POSIX only
    except ImportError as exc:
        raise RuntimeUnavailable(
            "processes cannot be kept on this system", hint="deploy to docker or kubernetes"
        ) from exc

    def program(spec: EnvironmentSpec) -> local.Program:
        reference = spec.name if spec.source == "bundled" else around.references.get(spec.name)
        if reference is None:
            raise InvalidDeployment(
                f"{spec.name} is not bundled, and only that runs as a process of this machine",
                hint="deploy it to docker or kubernetes, in a container",
            )
        command = (sys.executable, "-m", "agentcore", "env", "serve", reference)
        return local.Program(
            (*command, "--host", "127.0.0.1", "--port", "{port}"),
            {
                **local.own_environment(),
                "AGENTCORE_HOME": str(around.home.absolute()),
                **around.variables,
            },
            str(Path.cwd()) if spec.name in around.references else "/",
        )

    return local.LocalRuntime(
        around.home,
        program,
        wait_seconds=config.wait_seconds,
        drain_seconds=config.drain_seconds,
        clock=around.clock,
        progress=around.progress,
    )


def _docker(config: DeploymentConfig, around: Surroundings) -> EnvironmentRuntime:
    from agentcore.training.openenv.runtimes.docker import DockerRuntime  # noqa: PLC0415 -- aiohttp
    from agentcore.training.openenv.runtimes.docker_engine import open_engine  # noqa: PLC0415 -- aiohttp

    return DockerRuntime(
        partial(open_engine, config.docker_host),
        config,
        environments_secret(around.secret),
        clock=around.clock,
        progress=around.progress,
    )


def _kubernetes(config: DeploymentConfig, around: Surroundings) -> EnvironmentRuntime:
    from agentcore.training.openenv.runtimes.kubernetes import (  # noqa: PLC0415 -- aiohttp
        KubernetesRuntime,
        connecting,
    )

    return KubernetesRuntime(
        connecting(config, around.clock),
        config,
        environments_secret(around.secret),
        clock=around.clock,
        progress=around.progress,
    )
