"""The only place that builds and wires: settings in, running services out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from agentcore.kit.cache import Cache, open_cache
from agentcore.kit.clock import Clock, SystemClock
from agentcore.kit.db import Database, open_database
from agentcore.kit.db_migrations import SchemaOutdated, migrate, require_head
from agentcore.kit.drain import Drain
from agentcore.kit.embedded import EmbeddedServers, open_embedded
from agentcore.kit.errors import StartupError
from agentcore.kit.ids import Ids
from agentcore.kit.security import (
    Authenticator,
    CredentialAuthenticator,
    OpenDoor,
    TokenAuthority,
    generated_secret,
)
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.keys import ApiKeys
from agentcore.llm_gateway.store import KeyStore
from agentcore.observability.api import Check, Probe
from agentcore.settings import Settings

JWT_FILE = "jwt-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    supervisor: Supervisor
    database: Database
    cache: Cache
    authenticator: Authenticator

    def probes(self, drain: Drain) -> Mapping[str, Probe]:
        """What readiness asks; each answers quickly or raises an error of ours."""

        async def database() -> Check:
            await self.database.ping()
            return Check(ok=True)

        async def cache() -> Check:
            lost = self.cache.degraded
            return Check(ok=True, degraded=lost, detail="working from memory" if lost else "")

        async def tasks() -> Check:
            dead = {
                name: health
                for name, health in self.supervisor.health().items()
                if not health.alive
            }
            detail = "; ".join(f"{name}: {health.error}" for name, health in dead.items())
            return Check(ok=not dead, detail=detail)

        async def accepting() -> Check:
            return Check(ok=not drain.draining, detail="shutting down" if drain.draining else "")

        return {"database": database, "cache": cache, "tasks": tasks, "accepting": accepting}


@asynccontextmanager
async def bootstrap(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Services]:
    """Everything running; leaving the context stops it in reverse order."""
    clock, ids = SystemClock(), Ids()
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(_open_servers(settings))
        supervisor = await stack.enter_async_context(Supervisor(clock))
        if servers is not None:
            supervisor.start("embedded servers", servers.keep_alive)
        database = await stack.enter_async_context(_open_database(settings, servers))
        redis_url = settings.cache.url or (servers.redis_url if servers else None)
        cache = await stack.enter_async_context(
            open_cache(settings.cache, redis_url, supervisor, clock)
        )
        keys = ApiKeys(KeyStore(lambda: database), clock)
        yield Services(
            settings=settings,
            supervisor=supervisor,
            database=database,
            cache=cache,
            authenticator=_authenticator(settings, keys),
        )


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Database]:
    """Only the database, at whatever schema it is, for the commands that work on it."""
    async with _open_servers(settings, redis=False) as servers:
        url = settings.database.url or (servers.database_url if servers else "")
        async with open_database(settings.database, url) as database:
            yield database


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[ApiKeys]:
    """API keys, without the rest of the service."""
    async with (
        _open_servers(settings, redis=False) as servers,
        _open_database(settings, servers) as database,
    ):
        yield ApiKeys(KeyStore(lambda: database), SystemClock())


def token_authority(settings: Settings, clock: Clock | None = None) -> TokenAuthority:
    """Signs and verifies with the configured secret, or with the one kept in the home."""
    secret = settings.security.jwt_secret.get_secret_value()
    return TokenAuthority(
        secret or generated_secret(settings.home / JWT_FILE),
        SystemClock() if clock is None else clock,
    )


def _authenticator(settings: Settings, keys: ApiKeys) -> Authenticator:
    if not settings.security.auth:
        return OpenDoor()
    return CredentialAuthenticator(token_authority(settings), keys)


@asynccontextmanager
async def _open_servers(
    settings: Settings, *, redis: bool = True
) -> AsyncIterator[EmbeddedServers | None]:
    wanted = {"database": not settings.database.url, "redis": redis and not settings.cache.url}
    if not any(wanted.values()):
        yield None
        return
    async with open_embedded(settings.home, **wanted) as servers:
        yield servers


@asynccontextmanager
async def _open_database(
    settings: Settings, servers: EmbeddedServers | None
) -> AsyncIterator[Database]:
    """The database at this version's schema: the embedded one is migrated, others are checked."""
    embedded = not settings.database.url
    url = servers.database_url if embedded and servers else settings.database.url
    async with open_database(settings.database, url) as database:
        if embedded:
            await migrate(database)
        else:
            await _require_head(database)
        yield database


async def _require_head(database: Database) -> None:
    try:
        await require_head(database)
    except SchemaOutdated as error:
        raise StartupError(error.detail, hint=error.hint) from error
