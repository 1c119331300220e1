"""Environments that this installation knows: discovered, registered, watched and deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import cast, get_args
from uuid import UUID

import structlog
from pydantic import ValidationError

from agentcore.kit.clock import Clock
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, list_of
from agentcore.training.openenv.errors import (
    DeploymentNotFound,
    EnvironmentNotFoundError,
    InvalidDeployment,
)
from agentcore.training.openenv.models import EnvironmentEntry, RemoteEnvironment, RuntimeName
from agentcore.training.openenv.operations.models import Operation, OperationKind
from agentcore.training.openenv.operations.running import Operations
from agentcore.training.openenv.registration.catalog_file import Catalog, read_catalog
from agentcore.training.openenv.registration.errors import (
    EnvironmentNameTaken,
    EnvironmentNotServed,
    EnvironmentValidationError,
    RuntimeMissing,
    TokenReferenceInvalid,
)
from agentcore.training.openenv.registration.fleet import Fleet
from agentcore.training.openenv.registration.health import HealthChecks
from agentcore.training.openenv.registration.hub import HubListing, HuggingFaceHubClient
from agentcore.training.openenv.registration.naming import Reference, by_name, choose, some_of
from agentcore.training.openenv.registration.records import (
    BadEntry,
    CatalogImport,
    EnvironmentHealth,
    EnvironmentRecord,
)
from agentcore.training.openenv.registration.screening import screen
from agentcore.training.openenv.registration.store import EnvironmentStore
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentMetrics,
    EnvironmentSpec,
    Resources,
)

__all__ = ["EnvironmentRegistry", "EnvironmentValidationError", "HuggingFaceHubClient"]

# Words that follow /internal/environments/ in routes of their own.
ROUTES = frozenset({"deployed", "discover", "discovered", "import", "operations", "sessions"})
ITSELF = "registry"
Requested = Mapping[str, object] | Resources | None

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What needs no registration; ``own_token`` opens bundled environments in a runtime."""

    bundled: Mapping[str, EnvironmentSpec]
    configured: Mapping[str, RemoteEnvironment]
    own_token: Callable[[RuntimeName], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where environments come from, and how they are asked whether they live."""

    hub: HuggingFaceHubClient
    checks: HealthChecks
    here: Installation


class EnvironmentRegistry:
    """Kept in the database, one for all replicas of an installation; callers share it.

    What was only discovered can be looked at; it must be registered to be opened or deployed.
    ``naming`` says which registered revision a name means. Bundled environments need no
    registration to be deployed; a hyphen in their names stands for an underscore as well.
    """

    environments: Mapping[str, EnvironmentSpec]

    def __init__(
        self,
        namespace: str = "agentcore",
        *,
        store: EnvironmentStore,
        sources: Sources,
        fleet: Fleet,
        operations: Operations,
        clock: Clock,
    ) -> None:
        self.namespace = namespace
        self.environments = MappingProxyType({})
        self._store = store
        self._hub = sources.hub
        self._checks = sources.checks
        self._here = sources.here
        self._fleet = fleet
        self._operations = operations
        self._clock = clock
        operations.handle(
            {"discover": self._discover, "deploy": self._deploy, "undeploy": self._undeploy}
        )

    async def load(self) -> None:
        """Bring ``environments`` up to date: registered specs by name, by their full name where
        the name alone is ambiguous. Other replicas' registrations show after the next load.
        """
        self.environments = MappingProxyType(by_name(await self._store.listed(registered=True)))

    async def discover_from_hub(
        self, tags: list[str] | None = None, author: str | None = None, *, register: bool = False
    ) -> list[EnvironmentSpec]:
        """Environments on the Hub, remembered as discovered; ``register`` registers all of them.

        No server of theirs is asked, so registering here validates nothing.

        Raises:
            HubError: the Hub gives no list; its subclasses say what to do.
        """
        listing = await self._listing(tags, author, register=register)
        return list(listing.specs)

    async def import_catalog(self, path: Path) -> CatalogImport:
        """Remember the environments of a catalog file as discovered.

        Raises:
            CatalogFileError: the file is no catalog; bad entries are named in the answer.
        """
        return await self.import_entries(read_catalog(path))

    async def import_entries(self, catalog: Catalog) -> CatalogImport:
        await self._store.discover(catalog.specs, at=self._clock.now())
        records = await self._store.of_specs(catalog.specs)
        return CatalogImport(imported=tuple(records), refused=catalog.refused)

    async def register(
        self, spec: EnvironmentSpec, *, validate: bool = True, token_ref: str | None = None
    ) -> EnvironmentRecord:
        """Make ``spec`` open to callers; the same source, id and revision replaces what it was.

        With ``validate``, a spec with a ``url`` must prove itself: its server gives a session
        and a reset (or says that it is full).

        Raises:
            EnvironmentValidationError: it does not, or the spec has neither url nor image.
            EnvironmentNameTaken: a bundled or configured environment has the name.
            TokenReferenceInvalid: there is no such secret.
        """
        spec = self._checked(spec)
        token, health = self._checks.token(token_ref), EnvironmentHealth()
        if validate and spec.url is not None:
            health = await self._checks.admitted(str(spec.url), token)
        record = await self._store.register(
            spec,
            token_ref=token_ref,
            health=health,
            at=self._clock.now(),
            next_check_at=None if spec.url is None else self._checks.next_check(health),
        )
        await self.load()
        log.info("environment registered", environment=record.qualified, name=spec.name)
        return record

    async def unregister(self, reference: str) -> EnvironmentRecord:
        """Forget one record, also one that was only discovered; its deployment stays."""
        record = await self.get(reference, registered=False)
        await self._store.remove(record.id)
        await self.load()
        return record

    async def get(self, reference: str, *, registered: bool = True) -> EnvironmentRecord:
        """The record that ``reference`` means; a registered one wins over what was discovered.

        Raises:
            EnvironmentNotFoundError, AmbiguousEnvironment
        """
        fitting = await self._store.fitting(Reference.parse(reference), registered=registered)
        open_ = [record for record in fitting if record.state == "registered"]
        record = choose(reference, open_) or choose(reference, fitting)
        if record is None:
            hint = f"registered: {some_of(self.environments)}"
            if not registered:
                hint += "; `agentcore env list --discovered` shows what was found"
            state = "registered" if registered else "registered or discovered"
            detail = f"no environment {reference[:200]!r} is {state}"
            raise EnvironmentNotFoundError(detail, hint=hint)
        return record

    async def discovered(
        self, *, after: tuple[str, UUID] | None, limit: int
    ) -> list[EnvironmentRecord]:
        """What was seen and is not registered, by name and id."""
        return await self._store.listed(registered=False, after=after, limit=limit)

    async def find(self, reference: str) -> RemoteEnvironment | None:
        """Where callers reach a registered environment; None where there is none of the name.

        A running deployment of it is preferred to the address it was registered with.

        Raises:
            AmbiguousEnvironment, EnvironmentNotServed, TokenReferenceInvalid
        """
        record = await self._registered(reference)
        if record is None:
            return None
        served = await self._where(record)
        if served is None and record.spec.source != "bundled":
            raise EnvironmentNotServed(
                f"nothing serves {record.qualified}{await self._fleet.why_not(record.spec.name)}",
                hint=f"agentcore env deploy {record.spec.name}",
            )
        return served

    async def entry(self, reference: str) -> EnvironmentEntry | None:
        record = await self._registered(reference)
        return None if record is None else record.entry()

    async def entries(self) -> list[EnvironmentEntry]:
        return [record.entry() for record in await self._store.listed(registered=True)]

    async def check(self, reference: str) -> EnvironmentRecord:
        """Check a registered environment now; what was found is in the record's ``health``."""
        return await self.check_record(await self.get(reference))

    async def check_record(self, record: EnvironmentRecord) -> EnvironmentRecord:
        """As :meth:`check`; where nothing serves the environment, nothing is known of it."""
        try:
            served = await self._where(record)
        except TokenReferenceInvalid as error:
            return await self.check_failed(record, error.detail)
        if served is None:
            return await self._note(record, EnvironmentHealth(), None)
        token = served.token.get_secret_value()
        health = await self._checks.check(str(served.url), token, record.health)
        return await self._note(record, health, self._checks.next_check(health))

    async def check_failed(self, record: EnvironmentRecord, detail: str) -> EnvironmentRecord:
        """Record that a check found nothing out, as a failed one."""
        health = self._checks.failed(record.health, detail)
        return await self._note(record, health, self._checks.next_check(health))

    async def deploy(
        self,
        name: str,
        replicas: int = 1,
        resources: Requested = None,
        *,
        runtime: RuntimeName | None = None,
    ) -> DeployedEnvironment:
        """Deploy a registered or bundled environment and wait until it serves.

        ``resources`` has the members of ``Resources``; what is left out has its default.

        Raises:
            EnvironmentNotFoundError, AmbiguousEnvironment: the name means none, or several.
            OperationUnderWay: it is being deployed or removed.
            DeploymentFailed: it does not serve; the reason is the runtime's.
        """
        return await self.deploy_environment(
            await self._deployable(name), runtime, replicas=replicas, resources=resources
        )

    async def deploy_environment(
        self,
        spec: EnvironmentSpec,
        deployment_type: RuntimeName | None = "kubernetes",
        *,
        replicas: int = 1,
        resources: Requested = None,
    ) -> DeployedEnvironment:
        """As :meth:`deploy`, of a spec that need not be registered; None: the default runtime."""
        wanted = self._wanted(spec, replicas, resources, deployment_type)
        done = await self._operations.perform("deploy", spec.name, wanted, requested_by=ITSELF)
        return DeployedEnvironment.model_validate(done)

    async def undeploy(self, name: str, *, forget: bool = False) -> None:
        """Remove a deployment; the environment stays registered. ``forget``: see ``Fleet``.

        Raises:
            DeploymentNotFound, OperationUnderWay, RuntimeUnavailable
        """
        name = await self._deployed_name(name)
        wanted: JsonObject = {"name": name, "forget": forget}
        await self._operations.perform("undeploy", name, wanted, requested_by=ITSELF)

    async def submit_deploy(
        self,
        name: str,
        replicas: int,
        resources: Resources,
        runtime: RuntimeName | None,
        *,
        requested_by: str,
    ) -> Operation:
        """As :meth:`deploy`, without waiting."""
        spec = await self._deployable(name)
        wanted = self._wanted(spec, replicas, resources, runtime)
        return await self._submit("deploy", spec.name, wanted, requested_by)

    async def submit_undeploy(
        self, name: str, *, forget: bool = False, requested_by: str
    ) -> Operation:
        """As :meth:`undeploy`, without waiting."""
        name = await self._deployed_name(name)
        # What is just being deployed is refused as under way, not as unknown.
        if not await self._fleet.knows(name) and not await self._operations.under_way(name):
            raise DeploymentNotFound(
                f"{name!r} is not deployed", hint="`agentcore env status` shows what is"
            )
        return await self._submit("undeploy", name, {"name": name, "forget": forget}, requested_by)

    async def submit_discovery(
        self, tags: Sequence[str], author: str | None, *, register: bool, requested_by: str
    ) -> Operation:
        wanted: JsonObject = {"tags": [*tags], "author": author, "register": register}
        return await self._submit("discover", "", wanted, requested_by)

    async def list_deployed(self) -> list[DeployedEnvironment]:
        """By name: what runs, and what was asked for and does not."""
        return await self._fleet.list_deployed()

    async def get_metrics(self, name: str) -> EnvironmentMetrics:
        """What a deployment uses and what was played on it; raises ``DeploymentNotFound``."""
        name = await self._deployed_name(name)
        return EnvironmentMetrics.of(
            name, await self._fleet.usage(name), await self._fleet.played(name)
        )

    async def _note(
        self, record: EnvironmentRecord, health: EnvironmentHealth, again: datetime | None
    ) -> EnvironmentRecord:
        await self._store.checked(record.id, health, again, registered_at=record.registered_at)
        return record.model_copy(update={"health": health})

    async def _listing(
        self, tags: Sequence[str] | None, author: str | None, *, register: bool
    ) -> HubListing:
        listing = await self._hub.list_environments(tags=tags or (), author=author)
        await self._store.discover(listing.specs, at=self._clock.now())
        skipped = list(listing.skipped)
        for spec in listing.specs if register else ():
            try:
                await self.register(spec, validate=False)
            except (EnvironmentNameTaken, EnvironmentValidationError) as error:
                skipped.append(BadEntry(path=spec.source_id, detail=error.detail))
        for entry in skipped:
            log.warning("a Space is left out", space=entry.path, reason=entry.detail)
        return replace(listing, skipped=tuple(skipped))

    async def _submit(
        self, kind: OperationKind, target: str, wanted: JsonObject, requested_by: str
    ) -> Operation:
        return await self._operations.submit(kind, target, wanted, requested_by=requested_by)

    async def _discover(self, wanted: JsonObject) -> JsonObject:
        author = wanted.get("author")
        listing = await self._listing(
            [str(tag) for tag in list_of(wanted.get("tags"))],
            author if isinstance(author, str) else None,
            register=wanted.get("register") is True,
        )
        return {
            "found": [f"{spec.source}:{spec.source_id}@{spec.revision}" for spec in listing.specs],
            "skipped": [entry.model_dump() for entry in listing.skipped],
        }

    async def _deploy(self, wanted: JsonObject) -> JsonObject:
        spec = EnvironmentSpec.model_validate(wanted["spec"])
        runtime = cast("RuntimeName", wanted["runtime"])
        await self._fleet.reach(spec.name, runtime)
        if spec.source == "bundled":
            await self._store.register(
                spec,
                token_ref=None,
                health=EnvironmentHealth(),
                at=self._clock.now(),
                next_check_at=None,
            )
        deployed = await self._fleet.deploy(
            spec,
            replicas=cast("int", wanted["replicas"]),
            resources=Resources.model_validate(wanted["resources"]),
            runtime=runtime,
        )
        await self._store.make_due(spec, self._clock.now())
        return deployed.model_dump(mode="json")

    async def _undeploy(self, wanted: JsonObject) -> JsonObject:
        name = str(wanted["name"])
        record = await self._fleet.record(name)
        await self._fleet.undeploy(name, forget=wanted.get("forget") is True)
        if record is not None:
            await self._store.make_due(record.spec, self._clock.now())
            if record.spec.source == "bundled":
                for each in await self._store.of_specs([record.spec]):
                    await self._store.remove(each.id)
        return {"name": name}

    async def _deployable(self, name: str) -> EnvironmentSpec:
        bundled = self._bundled(name)
        if bundled is not None:
            return bundled
        return (await self.get(name)).spec

    async def _deployed_name(self, name: str) -> str:
        """The name a deployment has: it is that of its spec, whatever it is asked for by."""
        bundled = self._bundled(name)
        if bundled is not None:
            return bundled.name
        record = await self._registered(name)
        return name if record is None else record.spec.name

    async def _registered(self, reference: str) -> EnvironmentRecord | None:
        return choose(reference, await self._store.fitting(Reference.parse(reference)))

    def _bundled(self, name: str) -> EnvironmentSpec | None:
        bundled = self._here.bundled
        return bundled.get(name) or bundled.get(name.replace("-", "_"))

    def _wanted(
        self,
        spec: EnvironmentSpec,
        replicas: int,
        resources: Requested,
        runtime: RuntimeName | None,
    ) -> JsonObject:
        """The arguments of a deploy operation; refused before anything is written down."""
        chosen = self._fleet.default if runtime is None else runtime
        if chosen not in get_args(RuntimeName):
            raise RuntimeMissing(
                f"there is no deployment type {chosen!r}",
                hint=f"one of: {', '.join(get_args(RuntimeName))}",
            )
        self._fleet.require(chosen)
        if replicas < 1:
            raise InvalidDeployment(f"{replicas} replicas cannot be deployed", hint="at least 1")
        if not isinstance(resources, Resources):
            try:
                resources = Resources.model_validate(resources or {})
            except ValidationError as exc:
                fault = exc.errors(include_url=False)[0]
                where = ".".join(str(step) for step in fault["loc"])
                raise InvalidInput(f"resources: {where}: {fault['msg']}") from exc
        return {
            "spec": spec.model_dump(mode="json"),
            "replicas": replicas,
            "resources": resources.model_dump(),
            "runtime": chosen,
        }

    async def _where(self, record: EnvironmentRecord) -> RemoteEnvironment | None:
        """Raises ``TokenReferenceInvalid``."""
        spec = record.spec
        deployed = await self._fleet.record(spec.name)
        running = deployed if deployed is not None and deployed.serves(spec) else None
        url = running.url if running is not None else spec.url and str(spec.url)
        if not url:
            return None
        if running is not None and spec.source == "bundled":
            token = self._here.own_token(running.runtime)
        else:
            token = self._checks.token(record.token_ref)
        return RemoteEnvironment.model_validate({"name": spec.name, "url": url, "token": token})

    def _checked(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """``spec`` with its identity filled in, if it may be registered."""
        if spec.source == "bundled":
            # Such a server would be sent the credential of this service.
            raise EnvironmentValidationError(
                "what is bundled needs no registration", hint="give another source, or none"
            )
        taken = {*self._here.bundled, *self._here.configured, *ROUTES}
        if spec.name in taken or self._bundled(spec.name) is not None:
            raise EnvironmentNameTaken(
                f"the name {spec.name!r} is taken by a bundled or configured environment",
                hint="register it under another name",
            )
        screen(spec)
        if not spec.source_id:
            return spec.model_copy(update={"source_id": spec.name})
        return spec
