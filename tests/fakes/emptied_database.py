"""One database for all tests of a process, one after the other, each of which finds it empty.

Its connections stay open between tests: what the server and the client have prepared for a
statement is worth more than the statement itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from agentcore.kit.db import Database, open_database
from agentcore.kit.models import DatabaseConfig

NAME = "kept for the next test"
# A server that a busy machine keeps waiting is not away.
PATIENT = DatabaseConfig(pool_size=5, pool_timeout=60, connect_timeout=60)
# Half a second faster than a new database for each test.
EMPTY = """
DO $$ DECLARE name text; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT tablename FROM pg_tables
               WHERE schemaname = 'public' AND tablename <> 'alembic_version'
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences
               WHERE schemaname = 'public' AND last_value IS NOT NULL
  LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', name); END LOOP;
END $$
"""
OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> $1
"""
KEPT = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = $1 AND state = 'idle'
"""


SCHEMA = """
SELECT (SELECT version_num FROM alembic_version)
       || array_agg(tablename::text ORDER BY tablename)::text
  FROM pg_tables WHERE schemaname = 'public'
"""


class EmptiedDatabase:
    def __init__(
        self, url: str, database: Database, cleaner: asyncpg.Connection, schema: str
    ) -> None:
        self.url = url
        self.database = database
        self._cleaner = cleaner
        self._schema = schema

    async def empty(self) -> None:
        """Take back what a test has written; what it did to the schema it must not have done."""
        kept = NAME if await self._is_sound() else ""
        if not kept:
            await self.database.engine.dispose()
        await self._cleaner.fetch(OTHERS, kept)
        await self._cleaner.execute(EMPTY)
        schema = await self._cleaner.fetchval(SCHEMA)
        assert schema == self._schema, "this test changes the schema: let it use own_database_url"

    async def _is_sound(self) -> bool:
        """No test still has a connection, and none has lost one."""
        pool = self.database.engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        waiting: int = await self._cleaner.fetchval(KEPT, NAME)
        return pool.checkedout() == 0 and pool.checkedin() == waiting


@asynccontextmanager
async def emptied_database(url: str) -> AsyncIterator[EmptiedDatabase]:
    cleaner = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with open_database(PATIENT, url) as database:
            event.listen(database.engine.sync_engine, "connect", _name)
            await database.engine.dispose()
            schema = await cleaner.fetchval(SCHEMA)
            yield EmptiedDatabase(url, database, cleaner, schema)
    finally:
        await cleaner.close()


def _name(connection: Any, _: object) -> None:
    connection.run_async(lambda driver: driver.execute(f"SET application_name TO '{NAME}'"))
