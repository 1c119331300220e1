from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import Connection, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from agentcore.kit.db import CommitUnknown, Database, StorageUnavailable, open_database, parse_url
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import StartupError
from agentcore.kit.models import DatabaseConfig
from tests.fakes.tcp_proxy import TcpProxy


@pytest.fixture
async def proxied(servers: EmbeddedServers) -> AsyncIterator[tuple[Database, TcpProxy]]:
    """A database behind a proxy that can cut the line, and a table to write to."""
    async with TcpProxy.to_postgres(servers.database_url) as proxy:
        url = proxy.database_url("postgres")
        async with open_database(DatabaseConfig(pool_size=2), url) as database:
            yield database, proxy


async def test_a_unit_of_work_commits_whole_or_not_at_all(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE things (id int PRIMARY KEY)"))

    async def twice(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO things VALUES (1)"))
        await connection.execute(text("INSERT INTO things VALUES (1)"))

    with pytest.raises(IntegrityError):
        await database.run(twice)
    async with database.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM things")) == 0
        await connection.execute(text("DROP TABLE things"))


async def test_serialization_failures_are_repeated(database: Database) -> None:
    attempts = 0

    async def work(connection: AsyncConnection) -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise_it = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"
            await connection.execute(text(raise_it))
        return "done"

    assert await database.run(work) == "done"
    assert attempts == 3


async def test_what_cannot_be_repeated_is_not(database: Database) -> None:
    attempts = 0

    async def work(connection: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute(text("SELECT 1/0"))

    with pytest.raises(Exception, match="division by zero"):
        await database.run(work)
    assert attempts == 1


async def test_a_cut_line_is_mended_by_the_next_attempt(
    proxied: tuple[Database, TcpProxy],
) -> None:
    database, proxy = proxied
    await database.ping()
    proxy.cut()
    assert await database.run(lambda connection: connection.scalar(text("SELECT 7"))) == 7


async def test_what_settles_by_itself_is_there_and_leaves_transactions_as_they_are(
    database: Database,
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE settled (id int PRIMARY KEY)"))
    insert = text("INSERT INTO settled VALUES (CAST(:id AS int)) RETURNING id")
    try:
        assert [row["id"] for row in await database.settle(insert, {"id": 1})] == [1]
        async with database.engine.connect() as connection:
            await connection.execute(insert, {"id": 2})
            await connection.run_sync(Connection.rollback)
        assert [row["id"] for row in await database.rows(text("SELECT id FROM settled"))] == [1]
    finally:
        async with database.begin() as connection:
            await connection.execute(text("DROP TABLE settled"))


async def test_what_settles_by_itself_is_repeated_on_a_new_line(
    proxied: tuple[Database, TcpProxy],
) -> None:
    database, proxy = proxied
    assert await database.settle(text("SELECT 1 AS one")) == [{"one": 1}]
    proxy.cut()
    assert await database.rows(select(literal(1).label("one"))) == [{"one": 1}]


async def test_a_line_that_stays_dead_is_one_clear_error(
    proxied: tuple[Database, TcpProxy],
) -> None:
    database, proxy = proxied
    proxy.cut()
    proxy.refuse = True
    with pytest.raises(StorageUnavailable, match="database"):
        await database.run(lambda connection: connection.scalar(text("SELECT 7")))


async def test_a_commit_without_an_answer_is_not_called_a_failure(
    proxied: tuple[Database, TcpProxy],
) -> None:
    database, proxy = proxied

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        proxy.cut_on(b"COMMIT")

    with pytest.raises(CommitUnknown, match="during the commit"):
        await database.run(work)


async def test_a_full_pool_is_one_clear_error(servers: EmbeddedServers) -> None:
    config = DatabaseConfig(pool_size=1, max_overflow=0, pool_timeout=0.05)
    url = parse_url(servers.database_url).set(database="postgres")
    async with (
        open_database(config, url.render_as_string(hide_password=False)) as database,
        database.begin(),
    ):
        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            await database.ping()


async def test_a_database_that_says_nothing_is_waited_for_once(database: Database) -> None:
    begun = 0

    async def work(connection: AsyncConnection) -> None:
        nonlocal begun
        begun += 1
        driver = await connection.run_sync(lambda held: held.connection.driver_connection)
        assert driver is not None
        await driver.execute("SELECT pg_sleep(60)", timeout=0.01)

    with pytest.raises(StorageUnavailable, match="in time") as caught:
        await database.run(work)
    assert begun == 1
    assert "command_timeout" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "cannot be parsed"),
        ("mysql://host/db", "names 'mysql'"),
        ("postgresql://127.0.0.1:1/agentcore", "cannot be reached"),
    ],
)
async def test_an_unusable_url_is_one_clear_line(url: str, message: str) -> None:
    with pytest.raises(StartupError, match=message) as caught:
        async with open_database(DatabaseConfig(connect_timeout=1), url):
            pass
    assert "\n" not in caught.value.detail


@pytest.mark.promise("002-behaviour-postgres-version-is-checked-at-start")
async def test_a_server_that_is_too_old_is_named(
    proxied: tuple[Database, TcpProxy],
) -> None:
    database, proxy = proxied
    async with database.begin() as connection:
        found = str(await connection.scalar(text("SHOW server_version_num")))
    proxy.forge = (found.encode(), b"130022")
    with pytest.raises(StartupError, match="runs PostgreSQL 13") as caught:
        async with open_database(DatabaseConfig(), proxy.database_url("postgres")):
            pass
    assert caught.value.hint == "14 or newer is needed"


async def test_a_missing_database_is_named(servers: EmbeddedServers) -> None:
    url = parse_url(servers.database_url).set(database="nowhere")
    with pytest.raises(StartupError, match=r"nowhere\?.* does not exist"):
        async with open_database(DatabaseConfig(), url.render_as_string(hide_password=False)):
            pass


async def test_wrong_credentials_are_called_so(servers: EmbeddedServers) -> None:
    url = parse_url(servers.database_url).set(username="nobody_here", password="guessed-word")
    with pytest.raises(StartupError, match=r"refuses the credentials: .*nobody_here") as caught:
        async with open_database(DatabaseConfig(), url.render_as_string(hide_password=False)):
            pass
    assert "guessed-word" not in caught.value.detail + caught.value.hint
    assert "AGENTCORE_DATABASE_URL" in caught.value.hint


async def test_passwords_never_appear_in_errors() -> None:
    url = "postgresql://someone:very-secret@127.0.0.1:1/agentcore"
    with pytest.raises(StartupError) as caught:
        async with open_database(DatabaseConfig(connect_timeout=1), url):
            pass
    assert "very-secret" not in caught.value.detail + caught.value.hint


async def test_units_of_work_run_side_by_side(database: Database) -> None:
    together = [asyncio.Event() for _ in range(5)]

    async def work(number: int, connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        together[number].set()
        await asyncio.gather(*(each.wait() for each in together))

    async with asyncio.timeout(20):
        await asyncio.gather(*(database.run(partial(work, number)) for number in range(5)))


async def test_what_was_to_be_stored_never_appears_in_errors(database: Database) -> None:
    secret = "what a user said"

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT :said, 1/0"), {"said": secret})

    with pytest.raises(DBAPIError) as failed:
        await database.run(work)
    assert "division by zero" in str(failed.value)
    assert secret not in str(failed.value)
