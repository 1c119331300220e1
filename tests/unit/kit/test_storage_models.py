from __future__ import annotations

from pathlib import Path

import pytest

from agentcore.kit.db_migrations import current, head, migrate
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import StartupError
from agentcore.kit.models import CacheConfig, DatabaseConfig
from agentcore.kit.servers import open_servers
from agentcore.kit.storage import open_any_schema, open_schema


async def test_with_urls_no_server_is_started(tmp_path: Path) -> None:
    database, cache = DatabaseConfig(url="postgresql://x/y"), CacheConfig(url="redis://x")
    async with open_servers(tmp_path / "home", database, cache) as servers:
        assert servers == EmbeddedServers()
    assert not (tmp_path / "home").exists()


async def test_an_embedded_database_is_brought_to_the_head(own_database_url: str) -> None:
    config = DatabaseConfig(url=own_database_url)
    async with open_any_schema(Path("/unused"), config) as database:
        await migrate(database, "0001")
    servers = EmbeddedServers(database_url=own_database_url)
    async with open_schema(DatabaseConfig(), servers) as database:
        assert await current(database) == head()


async def test_an_operators_database_is_left_alone(own_database_url: str) -> None:
    config = DatabaseConfig(url=own_database_url)
    async with open_any_schema(Path("/unused"), config) as database:
        await migrate(database, "0001")
    with pytest.raises(StartupError, match="schema 0001, this version needs") as caught:
        async with open_schema(config, EmbeddedServers()):
            pass
    assert "agentcore db upgrade" in caught.value.hint
