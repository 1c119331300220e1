from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from agentcore.kit.db import Database, open_database
from agentcore.kit.db_migrations import (
    SchemaOutdated,
    current,
    differences,
    head,
    migrate,
    require_head,
    revisions,
)
from agentcore.kit.errors import InvalidInput, StartupError
from agentcore.kit.models import DatabaseConfig


@pytest.fixture
def database_url(own_database_url: str) -> str:
    return own_database_url


async def test_the_code_and_the_migrations_agree(database: Database) -> None:
    assert await differences(database) == []


async def test_every_migration_can_be_taken_back(database: Database) -> None:
    for revision in reversed(revisions()[:-1]):
        assert (await migrate(database, revision))[1] == revision
        assert await current(database) == revision
    with pytest.raises(SchemaOutdated, match=f"needs {head()}"):
        await require_head(database)
    await migrate(database)
    await require_head(database)
    assert await differences(database) == []


async def test_an_unknown_schema_is_refused_by_name(database: Database) -> None:
    with pytest.raises(InvalidInput, match="no schema 'zzz'") as caught:
        await migrate(database, "zzz")
    assert head() in caught.value.hint


async def test_several_processes_migrate_once(database: Database, database_url: str) -> None:
    await migrate(database, revisions()[0])

    async def another() -> None:
        async with open_database(DatabaseConfig(), database_url) as opened:
            await migrate(opened)

    await asyncio.gather(*(another() for _ in range(4)))
    assert await current(database) == head()


async def test_a_newer_schema_is_left_alone(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="schema 9999, newer than"):
        await migrate(database)
