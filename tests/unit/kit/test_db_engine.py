from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from agentcore.kit.db import Database
from agentcore.kit.db_engine import to_the_end

SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"


async def test_rows_come_a_part_at_a_time(database: Database) -> None:
    async with database.begin() as connection:
        five = connection.parts(text("SELECT n FROM generate_series(1, 5) AS n"), 2)
        parts = [[row["n"] for row in part] async for part in five]
        none = [part async for part in connection.parts(text("SELECT 1 WHERE false"), 2)]
    assert parts == [[1, 2], [3, 4], [5]]
    assert none == []


async def test_who_leaves_between_parts_leaves_a_connection_that_works(database: Database) -> None:
    async with database.begin() as connection:
        async for part in connection.parts(text("SELECT n FROM generate_series(1, 9) AS n"), 2):
            assert len(part) == 2
            break
        assert await connection.scalar(text("SELECT 7")) == 7
    assert checked_out(database) == 0


async def test_what_is_not_committed_is_not_there(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text("CREATE TABLE passing (id int)"))
    assert await database.row(text("SELECT to_regclass('passing') AS found")) == {"found": None}


async def test_a_statement_that_is_cancelled_gives_its_connection_back(database: Database) -> None:
    waiting = asyncio.create_task(database.rows(text("SELECT pg_sleep(600)")))
    async with asyncio.timeout(60):
        while not (await database.rows(text(SLEEPS)))[0]["count"]:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert checked_out(database) == 0
        while (await database.rows(text(SLEEPS)))[0]["count"]:
            await asyncio.sleep(0)


def checked_out(database: Database) -> int:
    pool = database.engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


async def test_work_ends_before_its_caller_is_cancelled() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        ended.set()

    caller = asyncio.create_task(to_the_end(work()))
    await begun.wait()
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_work_tells_its_result_and_its_failure() -> None:
    async def failing() -> None:
        raise ZeroDivisionError

    assert await to_the_end(asyncio.sleep(0, 7)) == 7
    with pytest.raises(ZeroDivisionError):
        await to_the_end(failing())
