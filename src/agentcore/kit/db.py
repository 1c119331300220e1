"""PostgreSQL: one pool, short units of work, faults translated where they happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
from sqlalchemy import Executable, MetaData, RowMapping, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agentcore.kit import jsonvalue
from agentcore.kit.db_engine import AsyncConnection, AsyncEngine
from agentcore.kit.errors import RPC_UNAVAILABLE, AgentCoreError, StartupError, first_line
from agentcore.kit.models import DatabaseConfig
from agentcore.kit.resilience import retry

T = TypeVar("T")

metadata = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ix": "ix_%(column_0_label)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)
ATTEMPTS = 5
# serialization_failure, deadlock_detected, too_many_connections, cannot_connect_now,
# admin_shutdown, crash_shutdown: rolled back for certain, so the unit may run again.
TRANSIENT = frozenset({"40001", "40P01", "53300", "57P03", "57P01", "57P02"})
# The driver's internal error is what a server that dies while preparing a statement looks like.
LOST = (
    OSError,
    TimeoutError,
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
)


class StorageUnavailable(AgentCoreError):
    code, http_status, rpc_code, retryable = "storage_unavailable", 503, RPC_UNAVAILABLE, True


class CommitUnknown(StorageUnavailable):
    """The connection broke while committing: the write may stand. Repeat it under the same id."""

    code, http_status, rpc_code, retryable = "commit_unknown", 503, RPC_UNAVAILABLE, True


class TransientFault(StorageUnavailable):
    """Rolled back for certain; :meth:`Database.run` repeats it."""

    code, http_status, rpc_code, retryable = "storage_busy", 503, RPC_UNAVAILABLE, True


class Database:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed when the block ends well; keep it free of network calls."""
        async with self._connection() as connection:
            yield connection
            await self._commit(connection)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """``begin`` around ``work``, repeated on faults that are certain to have rolled back."""

        async def once() -> T:
            async with self.begin() as connection:
                return await work(connection)

        return await retry(once, on=(TransientFault,), attempts=ATTEMPTS, cap=0.5)

    async def rows(self, statement: Executable) -> Sequence[RowMapping]:
        """What one statement gives, as a unit of work of its own."""
        if statement.is_select:
            return await self.settle(statement)

        async def work(connection: AsyncConnection) -> Sequence[RowMapping]:
            return (await connection.execute(statement)).mappings().all()

        return await self.run(work)

    async def row(self, statement: Executable) -> RowMapping | None:
        """The first of ``rows``."""
        return next(iter(await self.rows(statement)), None)

    async def write(self, statement: Executable) -> int:
        """How many rows one statement has written or deleted, as a unit of work of its own."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self.run(work)

    async def settle(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[RowMapping]:
        """What one statement gives that commits by itself: one exchange instead of three.

        It is repeated where the connection broke, and may have been done by then: only for
        statements that read, or change nothing the second time.
        """

        async def once() -> Sequence[RowMapping]:
            async with self._connection() as connection:
                await connection.set_options(isolation_level="AUTOCOMMIT")
                return (await connection.execute(statement, parameters)).mappings().all()

        return await retry(once, on=(TransientFault,), attempts=ATTEMPTS, cap=0.5)

    async def ping(self) -> None:
        async with self.begin() as connection:
            await connection.execute(text("SELECT 1"))

    @property
    def engine(self) -> AsyncEngine:
        return self._engine

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except TimeoutError as exc:
            # It has been waited for: to do so again would only take as long again.
            raise StorageUnavailable(
                "the database did not answer in time",
                hint="is it stopped, or overloaded? database.connect_timeout and .command_timeout "
                "say how long it may take",
            ) from exc
        except LOST as exc:
            raise TransientFault(f"the database cannot be reached: {first_line(exc)}") from exc
        except DBAPIError as exc:
            if _broken(exc) or _sqlstate(exc) in TRANSIENT:
                raise TransientFault(f"the database gave up: {first_line(exc.orig)}") from exc
            raise

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except (DBAPIError, *LOST) as exc:
            if isinstance(exc, DBAPIError) and not _broken(exc):
                raise
            raise CommitUnknown(
                "the connection to the database broke during the commit",
                hint="repeat the request with the same id: writes are idempotent by id",
            ) from exc


def parse_url(url: str) -> URL:
    """The SQLAlchemy form of a PostgreSQL URL.

    Raises:
        StartupError: not a URL, or not PostgreSQL; the password is never quoted.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise StartupError(
            "the database URL cannot be parsed",
            hint="AGENTCORE_DATABASE_URL=postgresql://user:password@host:5432/agentcore",
        ) from exc
    if parsed.drivername not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise StartupError(
            f"the database URL names {parsed.drivername!r}",
            hint="only PostgreSQL works: postgresql://user:password@host:5432/agentcore",
        )
    return parsed.set(drivername="postgresql+asyncpg")


def build_engine(config: DatabaseConfig, url: str) -> AsyncEngine:
    engine = create_engine(
        parse_url(url),
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        pool_use_lifo=True,
        # Errors are logged, and what is stored are prompts, traces and hashes of keys.
        hide_parameters=True,
        json_serializer=lambda value: jsonvalue.dumps(value).decode(),
        json_deserializer=jsonvalue.loads,
        connect_args={
            "timeout": config.connect_timeout,
            "command_timeout": config.command_timeout,
            "server_settings": {"application_name": "agentcore", "timezone": "UTC"},
        },
    )
    return AsyncEngine(engine)


@asynccontextmanager
async def open_database(config: DatabaseConfig, url: str) -> AsyncIterator[Database]:
    """A connected pool at ``url``; raises ``StartupError`` in one line when it cannot be used."""
    engine = build_engine(config, url)
    try:
        await _first_contact(engine)
        yield Database(engine)
    finally:
        await engine.dispose()


async def _first_contact(engine: AsyncEngine) -> None:
    where = engine.sync_engine.url.render_as_string(hide_password=True).replace("+asyncpg", "")
    try:
        async with engine.connect() as connection:
            found = await connection.scalar(text("SHOW server_version_num"))
    except (OSError, asyncpg.PostgresError, DBAPIError, PoolTimeout, TimeoutError) as exc:
        raise _refusal(where, exc) from exc
    if int(str(found)) < 140000:
        raise StartupError(
            f"{where} runs PostgreSQL {int(str(found)) // 10000}",
            hint="14 or newer is needed",
        )


def _refusal(where: str, error: Exception) -> StartupError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = str(getattr(cause, "sqlstate", "") or "")
    reason = first_line(cause).removeprefix("<class 'asyncpg.exceptions.").strip()
    if state == "3D000":
        return StartupError(f"the database of {where} does not exist", hint="createdb makes it")
    if state.startswith("28"):
        return StartupError(
            f"{where} refuses the credentials: {reason}",
            hint="check user and password in AGENTCORE_DATABASE_URL",
        )
    return StartupError(
        f"the database at {where} cannot be reached: {reason}",
        hint="is it running, and is AGENTCORE_DATABASE_URL right? Unset it for the embedded one",
    )


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


def _broken(error: DBAPIError) -> bool:
    """The connection is gone: class 08 of the SQL states, but never a refusal by the server."""
    if _sqlstate(error) in TRANSIENT:
        return False
    return error.connection_invalidated or _sqlstate(error).startswith("08")
