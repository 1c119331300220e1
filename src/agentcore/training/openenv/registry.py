"""Environments that this installation knows: discovered, registered, watched and deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.training.openenv.errors import EnvironmentNotFoundError
from agentcore.training.openenv.models import RemoteEnvironment
from agentcore.training.openenv.registration.catalog_file import Catalog, read_catalog
from agentcore.training.openenv.registration.errors import (
    AmbiguousEnvironment,
    EnvironmentNameTaken,
    EnvironmentValidationError,
)
from agentcore.training.openenv.registration.health import HealthChecks
from agentcore.training.openenv.registration.hub import HuggingFaceHubClient
from agentcore.training.openenv.registration.naming import Reference, choose
from agentcore.training.openenv.registration.records import (
    CatalogImport,
    EnvironmentHealth,
    EnvironmentRecord,
)
from agentcore.training.openenv.registration.store import EnvironmentStore
from agentcore.training.openenv.specs import EnvironmentSpec

__all__ = ["EnvironmentRegistry", "EnvironmentValidationError", "HuggingFaceHubClient"]

# Words that follow /internal/environments/ in routes of their own.
ROUTES = frozenset({"deployed", "discover", "import", "operations", "sessions"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownElsewhere:
    """Names that need no registration: of bundled environments, and of configured servers."""

    bundled: Mapping[str, EnvironmentSpec]
    configured: Mapping[str, RemoteEnvironment]


class EnvironmentRegistry:
    """Kept in the database, one for all replicas of an installation; callers share it.

    What was only discovered can be looked at; it must be registered to be opened or deployed.
    ``naming`` says which registered revision a name means.
    """

    environments: Mapping[str, EnvironmentSpec]

    def __init__(
        self,
        namespace: str = "agentcore",
        *,
        store: EnvironmentStore,
        hub: HuggingFaceHubClient,
        checks: HealthChecks,
        known: KnownElsewhere,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.namespace = namespace
        self.environments = MappingProxyType({})
        self._store = store
        self._hub = hub
        self._checks = checks
        self._known = known
        self._clock = clock
        self._ids = ids

    async def load(self) -> None:
        """Bring ``environments`` up to date: registered specs by name, by their full name where
        the name alone is ambiguous. Other replicas' registrations show after the next load.
        """
        self.environments = MappingProxyType(_by_name(await self._store.listed(registered=True)))

    async def discover_from_hub(
        self, tags: list[str] | None = None, author: str | None = None, *, register: bool = False
    ) -> list[EnvironmentSpec]:
        """Environments on the Hub, remembered as discovered; ``register`` registers all of them.

        No server of theirs is asked, so registering here validates nothing.

        Raises:
            HubError: the Hub gives no list; its subclasses say what to do.
        """
        listing = await self._hub.list_environments(tags=tags or (), author=author)
        for entry in listing.skipped:
            log.warning("a Space cannot be used", space=entry.path, reason=entry.detail)
        await self._remember(listing.specs)
        if register:
            for spec in listing.specs:
                await self.register(spec, validate=False)
        return list(listing.specs)

    async def import_catalog(self, path: Path) -> CatalogImport:
        """Remember the environments of a catalog file as discovered.

        Raises:
            CatalogFileError: the file is no catalog; bad entries are named in the answer.
        """
        return await self.import_entries(read_catalog(path))

    async def import_entries(self, catalog: Catalog) -> CatalogImport:
        await self._remember(catalog.specs)
        records = await self._store.of_specs(catalog.specs)
        return CatalogImport(imported=tuple(records), refused=catalog.refused)

    async def register(
        self, spec: EnvironmentSpec, *, validate: bool = True, token_ref: str | None = None
    ) -> EnvironmentRecord:
        """Make ``spec`` open to callers; the same source, id and revision replaces what it was.

        With ``validate``, a spec with a ``url`` must prove itself: its server gives a session,
        a reset and a step (or says that it is full).

        Raises:
            EnvironmentValidationError: it does not, or the spec has neither url nor image.
            EnvironmentNameTaken: a bundled or configured environment has the name.
        """
        spec = self._checked(spec)
        health = EnvironmentHealth()
        if validate and spec.url is not None:
            health = await self._checks.check(str(spec.url), token_ref, health)
            if health.status == "failed":
                raise EnvironmentValidationError(
                    f"{spec.url} gives no episode: {health.detail}",
                    hint="agentcore env validate URL tells more; validate=false registers it as is",
                )
        record = await self._store.register(
            self._ids.new(),
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
        """The record that ``reference`` means.

        Raises:
            EnvironmentNotFoundError, AmbiguousEnvironment
        """
        fitting = await self._store.fitting(Reference.parse(reference), registered=registered)
        record = choose(reference, fitting)
        if record is None:
            known = ", ".join(self.environments) or "none"
            raise EnvironmentNotFoundError(
                f"no environment {reference[:200]!r} is registered", hint=f"registered: {known}"
            )
        return record

    async def find(self, reference: str) -> RemoteEnvironment | None:
        """Where callers reach a registered environment; None where there is none of the name."""
        fitting = await self._store.fitting(Reference.parse(reference))
        record = choose(reference, fitting)
        if record is None or record.spec.url is None:
            return None
        return RemoteEnvironment.model_validate(
            {
                "name": record.spec.name,
                "url": record.spec.url,
                "token": self._checks.token(record.token_ref),
            }
        )

    async def check(self, reference: str) -> EnvironmentRecord:
        """Check a registered environment now; what was found is in the record's ``health``."""
        return await self.check_record(await self.get(reference))

    async def check_record(self, record: EnvironmentRecord) -> EnvironmentRecord:
        if record.spec.url is None:
            return record
        url = str(record.spec.url)
        health = await self._checks.check(url, record.token_ref, record.health)
        await self._store.checked(
            record.id,
            health,
            self._checks.next_check(health),
            registered_at=record.registered_at,
        )
        return record.model_copy(update={"health": health})

    def _checked(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """``spec`` with its identity filled in, if it may be registered."""
        taken = {*self._known.bundled, *self._known.configured, *ROUTES}
        if spec.name in taken:
            raise EnvironmentNameTaken(
                f"the name {spec.name!r} is taken by a bundled or configured environment",
                hint="register it under another name",
            )
        if spec.url is None and spec.image is None:
            raise EnvironmentValidationError(
                f"the spec of {spec.name!r} has neither a url nor an image",
                hint="give the url of its server, or the image to deploy",
            )
        if not spec.source_id:
            return spec.model_copy(update={"source_id": spec.name})
        return spec

    async def _remember(self, specs: Sequence[EnvironmentSpec]) -> None:
        await self._store.discover(
            [(self._ids.new(), spec) for spec in specs], at=self._clock.now()
        )


def _by_name(records: Sequence[EnvironmentRecord]) -> dict[str, EnvironmentSpec]:
    found: dict[str, EnvironmentSpec] = {}
    for name in sorted({record.spec.name for record in records}):
        fitting = [record for record in records if record.spec.name == name]
        try:
            chosen = choose(name, fitting)
        except AmbiguousEnvironment:
            found |= {record.qualified: record.spec for record in fitting}
        else:
            if chosen is not None:
                found[name] = chosen.spec
    return found
