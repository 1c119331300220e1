"""Deployments as containers of this machine's Docker engine.

One replica each: an engine has nothing that would share connections among several. A new version is
tried beside the old one first; then it takes the old one's place and port, which ends sessions.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, dumps, objects_of
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    InvalidDeployment,
)
from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.containers import (
    PORT,
    SECRET_VARIABLE,
    Container,
    container_of,
)
from agentcore.training.openenv.runtimes.docker_engine import DockerEngine
from agentcore.training.openenv.runtimes.forwarder import HOST
from agentcore.training.openenv.runtimes.naming import check_name, check_replicas, object_name
from agentcore.training.openenv.runtimes.quantities import amount, check_resources
from agentcore.training.openenv.runtimes.replica import free_port, is_healthy
from agentcore.training.openenv.runtimes.rollout import LOG_LINES, part, with_words
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Progress,
    Resources,
    ResourceUsage,
    Status,
)

NAME_LABEL = "agentcore.environment"
VERSION_LABEL = "agentcore.version"
CONFIG_LABEL = "agentcore.config"
# A candidate is none of the deployment's yet.
CANDIDATE_LABEL = "agentcore.candidate"
POLL_SECONDS = 0.1
HOPELESS_RESTARTS = 2
MOST_PROCESSES = 1024

Connect = Callable[[], AbstractAsyncContextManager[DockerEngine]]


@dataclass(frozen=True, slots=True)
class Found:
    """A container of a deployment, as the engine and its own /health say it is."""

    id: str
    name: str
    version: str
    config: str
    port: int
    healthy: bool
    restarts: int
    state: str

    @property
    def hopeless(self) -> bool:
        ended = self.state in {"exited", "dead"}
        return not self.healthy and (ended or self.restarts >= HOPELESS_RESTARTS)

    @property
    def status(self) -> Status:
        if self.healthy:
            return "running"
        return "failed" if self.hopeless or self.restarts else "pending"


class DockerRuntime:
    """``connect`` opens the engine; ``secret`` signs the tokens that own images ask for."""

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
        self._turns: dict[str, asyncio.Lock] = {}

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        check_name(spec.name)
        check_replicas(replicas)
        check_resources(resources)
        if replicas > 1:
            raise InvalidDeployment(
                f"Docker runs one replica of a deployment, not {replicas}",
                hint="--runtime local or kubernetes runs several; sessions share one server too",
            )
        container = container_of(spec, self._config.image_prefix)
        end = self._clock.monotonic() + self._config.wait_seconds
        async with self._turn(spec.name), self._connect() as engine:
            await engine.provide(container.image, self._progress)
            body = self._body(spec, container, resources)
            old = await self._current(engine, spec.name)
            if old is not None and old.config != part(body, "Labels")[CONFIG_LABEL]:
                await self._replace(engine, old, body, end)
            return await self._brought_up(engine, spec.name, body, end)

    async def undeploy(self, name: str) -> None:
        check_name(name)
        async with self._turn(name), self._connect() as engine:
            labels = {NAME_LABEL: name}
            ids = [str(each["Id"]) for each in await engine.containers(**labels)]
            if not ids:
                raise _absent(name)
            for each in ids:
                await engine.remove(each, seconds=self._goodbye)

    async def list_deployed(self) -> list[DeployedEnvironment]:
        async with self._connect() as engine:
            listed = await engine.containers(**{CANDIDATE_LABEL: "no"})
            names = sorted(str(part(each, "Labels")[NAME_LABEL]) for each in listed)
            found = [await self._current(engine, name) for name in names]
            return [await self._described(engine, each) for each in found if each is not None]

    async def usage(self, name: str) -> ResourceUsage | None:
        check_name(name)
        async with self._connect() as engine:
            found = await self._current(engine, name)
            if found is None:
                raise _absent(name)
            return read_usage(await engine.stats(found.id))

    @property
    def _goodbye(self) -> int:
        return math.ceil(self._config.drain_seconds)

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """One change at a time to one deployment; other processes meet at the container's name."""
        lock = self._turns.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    async def _current(self, engine: DockerEngine, name: str) -> Found | None:
        labels = {NAME_LABEL: name, CANDIDATE_LABEL: "no"}
        for each in await engine.containers(**labels):
            if (found := await self._look(engine, str(each["Id"]))) is not None:
                return found
        return None

    async def _look(self, engine: DockerEngine, container: str) -> Found | None:
        seen = await engine.inspect(container)
        if seen is None:
            return None
        labels = part(part(seen, "Config"), "Labels")
        state = part(seen, "State")
        port, restarts = _host_port(seen), seen.get("RestartCount")
        return Found(
            id=container,
            name=str(labels.get(NAME_LABEL)),
            version=str(labels.get(VERSION_LABEL)),
            config=str(labels.get(CONFIG_LABEL)),
            port=port,
            healthy=state.get("Status") == "running" and await is_healthy(port),
            restarts=restarts if isinstance(restarts, int) else 0,
            state=str(state.get("Status")),
        )

    async def _brought_up(
        self, engine: DockerEngine, name: str, body: JsonObject, end: float
    ) -> DeployedEnvironment:
        """Start what is not there yet, and wait; another process may have been faster."""
        while (found := await self._current(engine, name)) is None:
            created = await engine.create(f"agentcore-{object_name(name)}", body)
            if created is not None:
                await engine.start(created)
            else:
                await self._pause(name, end, "the name of its container is taken")
        return await self._described(engine, await self._healthy(engine, found.id, name, end))

    async def _replace(
        self, engine: DockerEngine, old: Found, body: JsonObject, end: float
    ) -> None:
        """Take ``old`` away once a candidate has shown that the new version serves."""
        if old.healthy:
            labels = {**part(body, "Labels"), CANDIDATE_LABEL: "yes"}
            trial = {**body, "Labels": labels, "HostConfig": {**part(body, "HostConfig")}}
            candidate = await engine.create(f"agentcore-{object_name(old.name)}-new", trial)
            if candidate is None:
                raise DeploymentFailed(f"{old.name}: another process is changing it")
            try:
                await engine.start(candidate)
                await self._healthy(engine, candidate, old.name, end)
            finally:
                await asyncio.shield(engine.remove(candidate, seconds=1))
            _publish(body, old.port)
        await engine.remove(old.id, seconds=self._goodbye)

    async def _healthy(self, engine: DockerEngine, container: str, name: str, end: float) -> Found:
        while True:
            found = await self._look(engine, container)
            if found is None:
                raise DeploymentFailed(f"{name} was undeployed before it served")
            if found.healthy:
                return found
            if found.hopeless:
                reason = await self._reason(engine, found)
                raise DeploymentFailed(
                    f"{name} does not start: {reason}", hint=f"docker logs {found.id[:12]}"
                )
            self._progress(f"{name}: container {found.state}, waiting for GET /health")
            await self._pause(name, end, await self._reason(engine, found))

    async def _pause(self, name: str, end: float, why: str) -> None:
        if self._clock.monotonic() >= end:
            raise DeploymentFailed(
                f"{name} does not serve within {self._config.wait_seconds:g} s: {why}",
                hint=f"docker logs agentcore-{object_name(name)}",
            )
        await self._clock.sleep(POLL_SECONDS)

    async def _reason(self, engine: DockerEngine, found: Found) -> str:
        how = f"container {found.state}, {found.restarts} restarts"
        return with_words(how, await engine.logs(found.id, lines=LOG_LINES))

    async def _described(self, engine: DockerEngine, found: Found) -> DeployedEnvironment:
        return DeployedEnvironment(
            name=found.name,
            url=f"http://{HOST}:{found.port}",
            replicas=1,
            status=found.status,
            ready=int(found.healthy),
            version=found.version,
            runtime="docker",
            detail="" if found.healthy else await self._reason(engine, found),
        )

    def _body(
        self, spec: EnvironmentSpec, container: Container, resources: Resources
    ) -> JsonObject:
        environment = dict(container.environment)
        if container.own:
            environment[SECRET_VARIABLE] = self._secret
        body: JsonObject = {
            "Image": container.image,
            "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            # The image's own is for the service, which is not what runs here.
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": _limits(container, resources),
        }
        if container.args:
            body["Cmd"] = list(container.args)
        if container.user is not None:
            body["User"] = str(container.user)
        config = hashlib.sha256(dumps([body, spec.version])).hexdigest()
        body["Labels"] = {
            NAME_LABEL: spec.name,
            VERSION_LABEL: spec.version,
            CONFIG_LABEL: config,
            CANDIDATE_LABEL: "no",
        }
        _publish(body, free_port())
        return body


def read_usage(stats: JsonObject) -> ResourceUsage | None:
    """Cores between the two readings that the engine gives, memory without the file cache."""
    now, before = part(stats, "cpu_stats"), part(stats, "precpu_stats")
    used = _count(part(now, "cpu_usage"), "total_usage") - _count(
        part(before, "cpu_usage"), "total_usage"
    )
    passed = _count(now, "system_cpu_usage") - _count(before, "system_cpu_usage")
    memory = part(stats, "memory_stats")
    if passed <= 0 or "usage" not in memory:
        return None
    cache = _count(part(memory, "stats"), "inactive_file")
    return ResourceUsage(
        cpu_usage=round(max(0, used) / passed * max(1, _count(now, "online_cpus")), 3),
        memory_usage=_count(memory, "usage") - cache,
    )


def _limits(container: Container, resources: Resources) -> JsonObject:
    host: JsonObject = {
        "NanoCpus": int(amount(resources.cpu_limit) * 10**9),
        "Memory": int(amount(resources.memory_limit)),
        "MemoryReservation": int(amount(resources.memory)),
        "PidsLimit": MOST_PROCESSES,
        "ReadonlyRootfs": not container.writable,
        "Tmpfs": {"/tmp": "size=256m,mode=1777"},  # noqa: S108 - its own
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Init": True,
        "RestartPolicy": {"Name": "unless-stopped"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
    }
    if resources.gpu:
        device: JsonObject = {"Count": resources.gpu, "Capabilities": [["gpu"]]}
        host["DeviceRequests"] = [device]
    return host


def _publish(body: JsonObject, port: int) -> None:
    binding: JsonObject = {"HostIp": HOST, "HostPort": str(port)}
    part(body, "HostConfig")["PortBindings"] = {f"{PORT}/tcp": [binding]}


def _host_port(seen: JsonObject) -> int:
    """As asked for: of a container that does not run, the engine reports no ports."""
    bound = part(part(seen, "HostConfig"), "PortBindings").get(f"{PORT}/tcp")
    port = next((each.get("HostPort") for each in objects_of(bound)), None)
    return int(str(port)) if port else 0


def _count(value: JsonObject, name: str) -> int:
    found = value.get(name)
    return int(found) if isinstance(found, int | float) else 0


def _absent(name: str) -> DeploymentNotFound:
    return DeploymentNotFound(
        f"{name!r} is not deployed on this Docker engine",
        hint="`agentcore env status` lists what is",
    )
