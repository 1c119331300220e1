"""Environments and their deployments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from agentcore.kit.db import Database, metadata
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.ids import Ids
from agentcore.kit.storable import made_storable
from agentcore.training.openenv.models import Capacity
from agentcore.training.openenv.registration.naming import Reference
from agentcore.training.openenv.registration.records import (
    DeploymentRecord,
    EnvironmentHealth,
    EnvironmentRecord,
)
from agentcore.training.openenv.specs import EnvironmentSpec, Played

T = TypeVar("T")

environments = Table(
    "environments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("url", Text),
    Column("image", Text),
    Column("description", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("author", Text),
    Column("license", Text),
    Column("dockerfile", Text),
    Column("deployment_config", JSONB(none_as_null=True)),
    Column("token_ref", Text),
    Column("state", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("registered_at", DateTime(timezone=True)),
    Column("health", Text, nullable=False),
    Column("health_detail", Text, nullable=False),
    Column("mode", Text),
    Column("capacity_active", Integer),
    Column("capacity_maximum", Integer),
    Column("failures", Integer, nullable=False),
    Column("checked_at", DateTime(timezone=True)),
    Column("last_seen_at", DateTime(timezone=True)),
    Column("next_check_at", DateTime(timezone=True)),
    UniqueConstraint("source", "source_id", "revision", name="uq_environments_source"),
    CheckConstraint("source IN ('bundled', 'hub', 'catalog', 'manual')", name="source"),
    CheckConstraint("source_id <> ''", name="source_id"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'", name="name"),
    CheckConstraint("token_ref ~ '^(env|file):.'", name="token_ref"),
    CheckConstraint("state IN ('discovered', 'registered')", name="state"),
    CheckConstraint("(state = 'registered') = (registered_at IS NOT NULL)", name="registered_at"),
    CheckConstraint(
        "health IN ('unknown', 'healthy', 'degraded', 'busy', 'failed')", name="health"
    ),
    CheckConstraint("mode IN ('simulation', 'production')", name="mode"),
    CheckConstraint("failures >= 0", name="failures"),
    CheckConstraint(
        "(capacity_active IS NULL) = (capacity_maximum IS NULL) "
        "AND capacity_active >= 0 AND capacity_maximum >= 0",
        name="capacity",
    ),
    Index("ix_environments_name", "name", "id"),
    Index(
        "ix_environments_next_check_at",
        "next_check_at",
        postgresql_where=text("next_check_at IS NOT NULL"),
    ),
)

environment_deployments = Table(
    "environment_deployments",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("spec", JSONB, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("resources", JSONB, nullable=False),
    Column("url", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("requests", BigInteger, nullable=False, server_default=text("0")),
    Column("episodes", BigInteger, nullable=False, server_default=text("0")),
    Column("episode_seconds", Double, nullable=False, server_default=text("0")),
    CheckConstraint("runtime IN ('local', 'docker', 'kubernetes')", name="runtime"),
    CheckConstraint("replicas >= 1", name="replicas"),
    CheckConstraint("ready >= 0", name="ready"),
    CheckConstraint("status IN ('pending', 'running', 'degraded', 'failed')", name="status"),
)

KEY = ("source", "source_id", "revision")
SPEC_COLUMNS = (
    *KEY,
    "name",
    "version",
    "image",
    "description",
    "author",
    "license",
    "dockerfile",
    "deployment_config",
)


# PostgreSQL cannot hold it: nothing has such a name.
NUL = "\x00"
# PostgreSQL takes at most 32,767 parameters with a statement, and a row has more than 20.
MOST_AT_ONCE = 1000


class EnvironmentStore:
    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def register(
        self,
        spec: EnvironmentSpec,
        *,
        token_ref: str | None,
        health: EnvironmentHealth,
        at: datetime,
        next_check_at: datetime | None,
    ) -> EnvironmentRecord:
        """Write the revision as registered; what was known of it before is replaced as a whole.

        A token stays with the address it was given for: registering again drops it.
        """
        values = {
            **_of_spec(spec),
            **_of_health(health),
            "token_ref": token_ref,
            "state": "registered",
            "registered_at": at,
            "next_check_at": next_check_at,
        }
        statement = (
            insert(environments)
            .values(id=self._ids.new(), created_at=at, **values)
            .on_conflict_do_update(index_elements=KEY, set_=values)
            .returning(environments)
        )
        (row,) = await self._database.rows(statement)
        return _record(row)

    async def discover(self, specs: Iterable[EnvironmentSpec], at: datetime) -> None:
        """Remember revisions that were seen; those that are registered stay as they are."""
        # A hub that changes between two pages lists twice, and one statement writes a row once.
        rows = {
            (spec.source, spec.source_id, spec.revision): {
                **_of_spec(spec),
                **_of_health(EnvironmentHealth()),
                "id": self._ids.new(),
                "state": "discovered",
                "created_at": at,
            }
            for spec in specs
        }

        async def work(connection: AsyncConnection) -> None:
            for batch in _batches(list(rows.values())):
                fresh = insert(environments).values(batch)
                renewed = {name: fresh.excluded[name] for name in (*SPEC_COLUMNS, "tags", "url")}
                await connection.execute(
                    fresh.on_conflict_do_update(
                        index_elements=KEY, set_=renewed, where=environments.c.state == "discovered"
                    )
                )

        await self._database.run(work)

    async def fitting(
        self, reference: Reference, *, registered: bool = True
    ) -> list[EnvironmentRecord]:
        """Records that the reference may mean; ``naming.choose`` decides."""
        columns = environments.c
        if reference.id is not None:
            which: ColumnElement[bool] = columns.id == reference.id
        else:
            if NUL in reference.text:
                return []
            which = or_(columns.name == reference.text, columns.source_id == reference.text)
        if registered:
            which = which & (columns.state == "registered")
        return await self._select(which)

    async def of_specs(self, specs: Sequence[EnvironmentSpec]) -> list[EnvironmentRecord]:
        columns = environments.c
        key = tuple_(columns.source, columns.source_id, columns.revision)
        keys = [(spec.source, spec.source_id, spec.revision) for spec in specs]
        return [record for batch in _batches(keys) for record in await self._select(key.in_(batch))]

    async def listed(
        self, *, registered: bool, after: tuple[str, UUID] | None = None, limit: int | None = None
    ) -> list[EnvironmentRecord]:
        """What is registered, or what was only discovered, by name and id."""
        columns = environments.c
        which: ColumnElement[bool] = columns.state == ("registered" if registered else "discovered")
        if after is not None:
            name, id_ = after
            which &= (columns.name > name) | ((columns.name == name) & (columns.id > id_))
        return await self._select(which, limit)

    async def remove(self, id_: UUID) -> bool:
        gone = await self._database.write(delete(environments).where(environments.c.id == id_))
        return gone == 1

    async def take_due(
        self, *, now: datetime, until: datetime, limit: int
    ) -> list[EnvironmentRecord]:
        """Registered environments whose check is due; other replicas leave them until ``until``."""
        columns = environments.c
        due = (
            select(columns.id)
            .where(columns.next_check_at <= now, columns.state == "registered")
            .order_by(columns.next_check_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # A plan may run a subquery once for each row, and so pass the limit: this runs once.
            .cte("due")
        )
        statement = (
            update(environments)
            .where(columns.id == due.c.id)
            .values(next_check_at=until)
            .returning(environments)
        )
        return [_record(row) for row in await self._database.rows(statement)]

    async def checked(
        self,
        id_: UUID,
        health: EnvironmentHealth,
        next_check_at: datetime | None,
        *,
        registered_at: datetime | None,
    ) -> None:
        """Write what a check found, unless the environment was registered anew meanwhile."""
        columns = environments.c
        statement = (
            update(environments)
            .where(columns.id == id_, columns.registered_at == registered_at)
            .values(next_check_at=next_check_at, **_of_health(health))
        )
        await self._database.write(statement)

    async def make_due(self, spec: EnvironmentSpec, at: datetime) -> None:
        """Have a registered revision checked soon: where it runs has changed."""
        columns = environments.c
        key = [columns[name] == getattr(spec, name) for name in KEY]
        statement = (
            update(environments).where(*key, columns.state == "registered").values(next_check_at=at)
        )
        await self._database.write(statement)

    async def next_due(self) -> datetime | None:
        columns = environments.c
        first = func.min(columns.next_check_at).label("first")
        (row,) = await self._database.rows(select(first).where(columns.state == "registered"))
        found: datetime | None = row["first"]
        return found

    async def _select(
        self, which: ColumnElement[bool], limit: int | None = None
    ) -> list[EnvironmentRecord]:
        columns = environments.c
        statement = (
            select(environments).where(which).order_by(columns.name, columns.id).limit(limit)
        )
        return [_record(row) for row in await self._database.rows(statement)]


class DeploymentStore:
    """Deployments of one namespace."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, record: DeploymentRecord) -> None:
        values = record.model_dump(mode="json")
        values["updated_at"] = record.updated_at
        statement = (
            insert(environment_deployments)
            .values(namespace=self._namespace, **values)
            .on_conflict_do_update(index_elements=("namespace", "name"), set_=values)
        )
        await self._database.write(statement)

    async def get(self, name: str) -> DeploymentRecord | None:
        if NUL in name:
            return None
        found = await self._select(environment_deployments.c.name == name)
        return found[0] if found else None

    async def listed(self) -> list[DeploymentRecord]:
        return await self._select()

    async def remove(self, name: str) -> bool:
        columns = environment_deployments.c
        statement = delete(environment_deployments).where(
            columns.namespace == self._namespace, columns.name == name
        )
        return await self._database.write(statement) == 1

    async def add_played(self, played: Mapping[tuple[str, str], Played]) -> None:
        """Add to the deployments with these names and addresses; others are left out."""
        columns = environment_deployments.c
        statement = (
            update(environment_deployments)
            .where(
                columns.namespace == self._namespace,
                columns.name == bindparam("of"),
                func.rtrim(columns.url, "/") == bindparam("at"),
            )
            .values(
                requests=columns.requests + bindparam("answered"),
                episodes=columns.episodes + bindparam("ended"),
                episode_seconds=columns.episode_seconds + bindparam("seconds"),
            )
        )
        # In one order everywhere: replicas that add at once must not wait for one another.
        rows = [
            {
                "of": name,
                "at": url,
                "answered": all_.requests,
                "ended": all_.episodes,
                "seconds": all_.seconds,
            }
            for (name, url), all_ in sorted(played.items())
        ]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement, rows)

        await self._database.run(work)

    async def played(self, name: str) -> Played | None:
        """What was played since it is deployed; None where it is not."""
        columns = environment_deployments.c
        row = await self._database.row(
            select(columns.requests, columns.episodes, columns.episode_seconds).where(
                columns.namespace == self._namespace, columns.name == name
            )
        )
        return None if row is None else Played(*row.values())

    async def _select(self, *which: ColumnElement[bool]) -> list[DeploymentRecord]:
        columns = environment_deployments.c
        statement = (
            select(environment_deployments)
            .where(columns.namespace == self._namespace, *which)
            .order_by(columns.name)
        )
        return [
            DeploymentRecord.model_validate(
                {name: row[name] for name in DeploymentRecord.model_fields}
            )
            for row in await self._database.rows(statement)
        ]


def _of_spec(spec: EnvironmentSpec) -> dict[str, Any]:
    """Others write these texts, and PostgreSQL cannot hold all of them."""
    values = {name: made_storable(getattr(spec, name)) for name in SPEC_COLUMNS}
    return {
        **values,
        "tags": [made_storable(tag) for tag in spec.tags],
        "url": None if spec.url is None else str(spec.url),
    }


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), MOST_AT_ONCE):
        yield items[start : start + MOST_AT_ONCE]


def _of_health(health: EnvironmentHealth) -> dict[str, Any]:
    capacity = health.capacity
    return {
        "health": health.status,
        "health_detail": made_storable(health.detail),
        "mode": health.mode,
        "capacity_active": capacity.active if capacity else None,
        "capacity_maximum": capacity.maximum if capacity else None,
        "failures": health.failures,
        "checked_at": health.checked_at,
        "last_seen_at": health.last_seen_at,
    }


def _record(row: RowMapping) -> EnvironmentRecord:
    active, maximum = row["capacity_active"], row["capacity_maximum"]
    health = EnvironmentHealth(
        status=row["health"],
        detail=row["health_detail"],
        mode=row["mode"],
        capacity=None if active is None else Capacity(active=active, maximum=maximum),
        checked_at=row["checked_at"],
        last_seen_at=row["last_seen_at"],
        failures=row["failures"],
    )
    spec = EnvironmentSpec(
        **{name: row[name] for name in SPEC_COLUMNS}, url=row["url"], tags=tuple(row["tags"])
    )
    return EnvironmentRecord(
        id=row["id"],
        spec=spec,
        state=row["state"],
        token_ref=row["token_ref"],
        created_at=row["created_at"],
        registered_at=row["registered_at"],
        health=health,
    )
