"""Real servers for every test: PostgreSQL and Valkey of one home, shared by all test workers."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from agentcore.kit.cache import Cache, open_cache
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database, open_database, parse_url
from agentcore.kit.db_migrations import head, migrate
from agentcore.kit.embedded import EmbeddedServers, open_embedded
from agentcore.kit.ids import Ids
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.deployment import checkouts_folder, memory, migrations_digest
from tests.fakes.emptied_database import PATIENT, EmptiedDatabase, emptied_database
from tests.fakes.patience import have_patience
from tests.fakes.redis_server import RedisServer

LOCK = 4711
HEAD = head()


# A machine under load draws examples slowly: that says nothing about the code.
settings.register_profile(
    "explore", suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50
)
# The same examples each time; new ones are looked for by `--hypothesis-profile=explore`.
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)
settings.load_profile("suite")
# No test calls anybody outside: reading every authority of this machine would take each client and
# each process a thirtieth of a second. This one has signed nothing.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "fakes" / "authority.pem")
# For `tmp_path`: making and removing files on a disk takes seconds in all.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory() or ""))
have_patience(httpx2.Client)
# A traceback in colours, with the source around each line, takes a second to draw.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)
# Nothing that collecting makes is garbage: looking for it takes a second each time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def test_home() -> Path:
    return checkouts_folder("test")


@pytest.fixture(scope="session")
async def servers(test_home: Path) -> AsyncIterator[EmbeddedServers]:
    async with open_embedded(test_home) as running:
        yield running


def _template() -> str:
    """A migrated database to copy; a new one whenever a migration's text changes."""
    return f"template_{HEAD}_{migrations_digest()}"


def _url(servers: EmbeddedServers, name: str) -> str:
    return parse_url(servers.database_url).set(database=name).render_as_string(False)


@asynccontextmanager
async def _maintenance(servers: EmbeddedServers) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(_url(servers, "postgres"), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


@pytest.fixture(scope="session")
async def template(servers: EmbeddedServers) -> str:
    name = _template()
    async with _maintenance(servers) as connection:
        await connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
        exists = "SELECT 1 FROM pg_database WHERE datname = :name"
        if not await connection.scalar(text(exists), {"name": name}):
            draft = f"draft_{name}"
            await connection.execute(text(f"DROP DATABASE IF EXISTS {draft}"))
            await connection.execute(text(f"CREATE DATABASE {draft}"))
            async with open_database(PATIENT, _url(servers, draft)) as database:
                await migrate(database)
            await connection.execute(text(f"ALTER DATABASE {draft} RENAME TO {name}"))
        await connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
    return name


@asynccontextmanager
async def _copy(servers: EmbeddedServers, template: str) -> AsyncIterator[str]:
    name = f"t_{Ids().new().hex}"
    async with _maintenance(servers) as connection:
        copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
        await connection.execute(text(copy))
        # Nobody kills this server: whether a commit is on the disk is not what these tests ask.
        await connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    try:
        yield _url(servers, name)
    finally:
        async with _maintenance(servers) as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
async def workers_database(
    servers: EmbeddedServers, template: str
) -> AsyncIterator[EmptiedDatabase]:
    async with _copy(servers, template) as url, emptied_database(url) as shared:
        yield shared


@pytest.fixture
async def own_database_url(servers: EmbeddedServers, template: str) -> AsyncIterator[str]:
    """The URL of a database for a test that changes its schema: made, and slow to make."""
    async with _copy(servers, template) as url:
        yield url


@pytest.fixture
async def database_url(workers_database: EmptiedDatabase) -> AsyncIterator[str]:
    """The URL of a database that only this test uses now, migrated and empty."""
    yield workers_database.url
    await workers_database.empty()


@pytest.fixture
async def database(database_url: str, workers_database: EmptiedDatabase) -> AsyncIterator[Database]:
    if database_url == workers_database.url:
        yield workers_database.database
        return
    async with open_database(PATIENT, database_url) as opened:
        yield opened


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    async with Supervisor() as running:
        yield running


@pytest.fixture
async def cache(servers: EmbeddedServers, supervisor: Supervisor) -> AsyncIterator[Cache]:
    """A cache on the real server under a prefix of this test's own."""
    config = CacheConfig(namespace=f"t:{Ids().new().hex}", timeout=60)
    async with open_cache(config, servers.redis_url, supervisor, SystemClock()) as opened:
        assert not opened.degraded, "the embedded Valkey did not start"
        yield opened


@pytest.fixture
async def own_redis() -> AsyncIterator[RedisServer]:
    """A server that the test may stop and kill."""
    async with RedisServer.running() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids() -> Ids:
    return Ids()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def ground(
    database: Database, cache: Cache, supervisor: Supervisor, registry: CollectorRegistry, ids: Ids
) -> dict[str, Any]:
    """What ``open_gateway`` and ``open_spending`` stand on, by the names of their parameters."""
    from agentcore.llm_gateway.metrics import GatewayMetrics

    return {
        "database": database,
        "cache": cache,
        "supervisor": supervisor,
        "metrics": GatewayMetrics(registry),
        "clock": SystemClock(),
        "ids": ids,
    }
