"""What the registry keeps of an environment beside its spec."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from agentcore.training.openenv.models import (
    Capacity,
    EnvironmentEntry,
    HealthStatus,
    JsonMap,
    Mode,
    RecordState,
    RuntimeName,
)
from agentcore.training.openenv.registration.screening import presentable
from agentcore.training.openenv.specs import EnvironmentSpec, Status

REFERENCE_FORM = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnvironmentHealth(_Value):
    """What the last check found: ``busy`` has no free session, ``degraded`` resets and no more.

    ``last_seen_at`` is when a check last succeeded, ``failures`` how many failed since.
    """

    status: HealthStatus = "unknown"
    detail: str = ""
    mode: Mode | None = None
    capacity: Capacity | None = None
    checked_at: datetime | None = None
    last_seen_at: datetime | None = None
    failures: int = 0


class EnvironmentRecord(_Value):
    """One revision of one environment; ``token_ref`` names the secret that its server wants."""

    id: UUID
    spec: EnvironmentSpec
    state: RecordState
    token_ref: str | None = Field(None, pattern=REFERENCE_FORM)
    created_at: datetime
    registered_at: datetime | None = None
    health: EnvironmentHealth = Field(default_factory=EnvironmentHealth)

    @property
    def qualified(self) -> str:
        """The name that nothing else has: ``source:source_id@revision``."""
        spec = self.spec
        return f"{spec.source}:{spec.source_id}@{spec.revision}"

    def entry(self) -> EnvironmentEntry:
        """As callers see it: without the reference of its secret, and none in its address."""
        spec, health = self.spec, self.health
        return EnvironmentEntry(
            name=spec.name,
            source=spec.source,
            url=None if spec.url is None else presentable(str(spec.url)),
            id=self.id,
            source_id=spec.source_id,
            revision=spec.revision,
            image=spec.image,
            state=self.state,
            status=health.status,
            mode=health.mode,
            capacity=health.capacity,
            detail=health.detail,
            checked_at=health.checked_at,
            last_seen_at=health.last_seen_at,
        )


class DeploymentRecord(_Value):
    """What was asked for; what became of it is the runtime's to say."""

    name: str
    spec: EnvironmentSpec
    runtime: RuntimeName
    replicas: int
    resources: JsonMap
    url: str = ""
    status: Status = "pending"
    ready: int = 0
    detail: str = ""
    updated_at: datetime

    @property
    def serving(self) -> bool:
        """Whether it was when last seen."""
        return bool(self.url) and self.status in {"running", "degraded"}

    def serves(self, spec: EnvironmentSpec) -> bool:
        """Whether it serves, and this revision."""
        own = self.spec
        same = (own.source, own.source_id, own.revision) == (
            spec.source,
            spec.source_id,
            spec.revision,
        )
        return same and self.serving


class BadEntry(_Value):
    """An entry of a catalog that was left out; ``path`` says where it is."""

    path: str
    detail: str


class CatalogImport(_Value):
    imported: tuple[EnvironmentRecord, ...]
    refused: tuple[BadEntry, ...] = ()
