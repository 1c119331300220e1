"""The database at the schema that its user needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentcore.kit.db import Database, open_database
from agentcore.kit.db_migrations import SchemaOutdated, migrate, require_head
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import StartupError
from agentcore.kit.models import DatabaseConfig
from agentcore.kit.servers import open_servers


@asynccontextmanager
async def open_schema(config: DatabaseConfig, servers: EmbeddedServers) -> AsyncIterator[Database]:
    """The database at this version's schema: an embedded one is migrated, others are checked.

    Raises:
        StartupError: it cannot be used, or a database of the operator's own is not at the head.
    """
    async with open_database(config, config.url or servers.database_url) as database:
        if config.url:
            await _require_head(database)
        else:
            await migrate(database)
        yield database


@asynccontextmanager
async def open_any_schema(home: Path, config: DatabaseConfig) -> AsyncIterator[Database]:
    """The database at whatever schema it is, for the commands that work on the schema."""
    async with (
        open_servers(home, config, None) as servers,
        open_database(config, config.url or servers.database_url) as database,
    ):
        yield database


async def _require_head(database: Database) -> None:
    try:
        await require_head(database)
    except SchemaOutdated as error:
        raise StartupError(error.detail, hint=error.hint) from error
