"""Deployments: what was asked of the runtimes, and what runs."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.training.openenv.errors import DeploymentNotFound, RuntimeUnavailable
from agentcore.training.openenv.models import RuntimeName
from agentcore.training.openenv.ports import EnvironmentRuntime
from agentcore.training.openenv.registration.errors import DeploymentNameTaken, RuntimeMissing
from agentcore.training.openenv.registration.records import DeploymentRecord
from agentcore.training.openenv.registration.store import DeploymentStore
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Played,
    Resources,
    ResourceUsage,
)

log = structlog.get_logger()


class Fleet:
    """``default`` is the runtime that deploys what names none."""

    def __init__(
        self,
        store: DeploymentStore,
        runtimes: Mapping[RuntimeName, EnvironmentRuntime],
        *,
        default: RuntimeName,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runtimes = runtimes
        self.default = default
        self._clock = clock

    def require(self, runtime: RuntimeName) -> EnvironmentRuntime:
        if runtime not in self._runtimes:
            raise RuntimeMissing(
                f"this installation deploys nothing to {runtime!r}",
                hint=f"it has: {', '.join(self._runtimes) or 'no runtime'}",
            )
        return self._runtimes[runtime]

    async def reach(self, name: str, runtime: RuntimeName) -> None:
        """Make sure that a first deployment of ``name`` can begin at all.

        Raises ``RuntimeUnavailable``, and then nothing is remembered: what never began could not
        be taken away there either, and would keep the name from every other runtime.
        """
        if await self._store.get(name) is None:
            await self.require(runtime).list_deployed()

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources, runtime: RuntimeName
    ) -> DeployedEnvironment:
        """Bring ``spec`` to run; doing it again changes nothing.

        Raises:
            DeploymentNameTaken: another environment, or another runtime, has the name.
            DeploymentFailed, InvalidDeployment, RuntimeUnavailable: by the runtime.
        """
        running = self.require(runtime)
        before = await self._store.get(spec.name)
        if before is not None:
            _check_name(before, spec, runtime)
        wanted = DeploymentRecord(
            name=spec.name,
            spec=spec,
            runtime=runtime,
            replicas=replicas,
            resources=resources.model_dump(),
            updated_at=self._clock.now(),
        )
        old = before if before is not None and before.serving else None
        if old is None:
            await self._store.put(wanted)
        try:
            deployed = await running.deploy(spec, replicas=replicas, resources=resources)
        except AgentCoreError as error:
            # Runtimes leave an old version serving where the new one does not start.
            if old is None:
                await self._note(wanted, status="failed", detail=error.detail)
            else:
                await self._note(old, detail=f"replacing it failed: {error.detail}")
            raise
        await self._note(
            wanted,
            status=deployed.status,
            detail=deployed.detail,
            url=deployed.url,
            ready=deployed.ready,
        )
        log.info("environment deployed", environment=spec.name, url=deployed.url, runtime=runtime)
        return deployed

    async def undeploy(self, name: str, *, forget: bool = False) -> None:
        """Take it away and forget it; with ``forget`` also where its runtime cannot be reached.

        Raises:
            DeploymentNotFound: nobody knows it.
            RuntimeUnavailable: what runs there, if anything, cannot be taken away.
        """
        record = await self._store.get(name)
        runtime = self.require(self.default if record is None else record.runtime)
        try:
            await runtime.undeploy(name)
        except DeploymentNotFound:
            # A record whose deployment went by another hand is only to be forgotten.
            if record is None:
                raise
        except RuntimeUnavailable as error:
            if record is None:
                raise
            if not forget:
                gone = f"if it is gone for good: agentcore env undeploy {name} --forget --url URL"
                raise RuntimeUnavailable(error.detail, hint=f"{error.hint}; {gone}") from error
            log.warning("environment forgotten", environment=name, reason=error.detail)
        await self._store.remove(name)
        log.info("environment undeployed", environment=name)

    async def list_deployed(self) -> list[DeployedEnvironment]:
        """By name: what runs, and what was asked for and does not.

        A runtime that cannot be reached is no reason to show nothing: its deployments are listed
        as they were last seen, with the reason in ``detail``.
        """
        records = {record.name: record for record in await self._store.listed()}
        asked = {self.default, *(record.runtime for record in records.values())}
        found: dict[str, DeployedEnvironment] = {}
        away: dict[RuntimeName, str] = {}
        for runtime in sorted(asked & set(self._runtimes)):
            try:
                living = await self._runtimes[runtime].list_deployed()
            except RuntimeUnavailable as error:
                away[runtime] = error.detail
            else:
                found |= {each.name: each for each in living}
        for name, record in records.items():
            if name not in found:
                found[name] = _last_seen(record, away.get(record.runtime))
        return [found[name] for name in sorted(found)]

    async def why_not(self, name: str) -> str:
        """What a deployment that failed has said, behind a colon; nothing where there is none."""
        record = await self._store.get(name)
        if record is None or record.status != "failed":
            return ""
        return f": its deployment failed: {record.detail}"

    async def knows(self, name: str) -> bool:
        """Whether it was asked for, or runs by another hand."""
        if await self._store.get(name) is not None:
            return True
        return any(each.name == name for each in await self.list_deployed())

    async def record(self, name: str) -> DeploymentRecord | None:
        return await self._store.get(name)

    async def usage(self, name: str) -> ResourceUsage | None:
        """Raises ``DeploymentNotFound``."""
        record = await self._store.get(name)
        runtime = self.require(self.default if record is None else record.runtime)
        return await runtime.usage(name)

    async def played(self, name: str) -> Played | None:
        """None where it was deployed by another hand."""
        return await self._store.played(name)

    async def _note(self, record: DeploymentRecord, **found: object) -> None:
        seen = {"updated_at": self._clock.now(), **found}
        await self._store.put(record.model_copy(update=seen))


def _check_name(before: DeploymentRecord, spec: EnvironmentSpec, runtime: RuntimeName) -> None:
    other = before.spec
    if (other.source, other.source_id) != (spec.source, spec.source_id):
        raise DeploymentNameTaken(
            f"{spec.name!r} is deployed from {other.source}:{other.source_id}",
            hint="undeploy it, or register this one under another name",
        )
    if before.runtime != runtime:
        raise DeploymentNameTaken(
            f"{spec.name!r} is deployed to {before.runtime}", hint="undeploy it there first"
        )


def _last_seen(record: DeploymentRecord, away: str | None) -> DeployedEnvironment:
    status, detail = record.status, record.detail
    if away is not None:
        detail = f"its state cannot be asked: {away}"
    elif status in {"running", "degraded"}:
        status, detail = "failed", f"{record.runtime} does not run it any more: deploy it again"
    return DeployedEnvironment(
        name=record.name,
        url=record.url,
        replicas=record.replicas,
        status=status,
        ready=record.ready if away is not None else 0,
        version=record.spec.version,
        runtime=record.runtime,
        detail=detail,
    )
