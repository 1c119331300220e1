"""Where the data lives: the embedded servers of a home, for what the settings name no URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentcore.kit.embedded import EmbeddedServers, open_embedded
from agentcore.kit.models import CacheConfig, DatabaseConfig


@asynccontextmanager
async def open_servers(
    home: Path, database: DatabaseConfig, cache: CacheConfig | None
) -> AsyncIterator[EmbeddedServers]:
    """The embedded servers for what has no URL of its own; without ``cache``, no cache server."""
    wanted = {"database": not database.url, "redis": cache is not None and not cache.url}
    if not any(wanted.values()):
        yield EmbeddedServers()
        return
    async with open_embedded(home, **wanted) as servers:
        yield servers
