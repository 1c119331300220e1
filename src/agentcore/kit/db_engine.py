"""SQLAlchemy's engine and connections, to be awaited.

``sqlalchemy.ext.asyncio`` does the same and imports the ORM with it: 6 MiB that nobody here uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import greenlet_spawn

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine, Executable, RowMapping

    Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

T = TypeVar("T")


class AsyncConnection:
    """A connection for one task at a time, with a transaction from its first statement on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(
        self, statement: Executable, parameters: Parameters = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """All rows are there when it returns."""
        return await greenlet_spawn(self._connection.execute, statement, parameters)

    async def scalar(self, statement: Executable, parameters: Parameters = None) -> Any:
        """The first column of the first row; None without a row."""
        return (await self.execute(statement, parameters)).scalar()

    async def parts(self, statement: Executable, rows: int) -> AsyncIterator[Sequence[RowMapping]]:
        """The rows of ``statement``, so many at a time, read when they are asked for."""
        found = await greenlet_spawn(
            self._connection.execute, statement, execution_options={"stream_results": True}
        )
        named = found.mappings()
        while part := await greenlet_spawn(named.fetchmany, rows):
            yield part

    async def set_options(self, **options: Any) -> None:
        """SQLAlchemy's execution options of this connection."""
        await greenlet_spawn(self._connection.execution_options, **options)

    async def commit(self) -> None:
        await greenlet_spawn(self._connection.commit)

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        """``work`` with the connection itself, which waits inside for this event loop."""
        return await greenlet_spawn(work, self._connection, *arguments)


class AsyncEngine:
    """``engine`` has an asynchronous driver."""

    def __init__(self, engine: Engine) -> None:
        self.sync_engine = engine

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """What is not committed within the block is rolled back."""
        connection = await greenlet_spawn(self.sync_engine.connect)
        try:
            yield AsyncConnection(connection)
        finally:
            # Half closed it would be lost to the pool, with a transaction open in the database.
            await to_the_end(greenlet_spawn(connection.close))

    async def dispose(self) -> None:
        await greenlet_spawn(self.sync_engine.dispose)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """``work``, which goes on when the caller is cancelled; that takes effect behind it."""
    task = asyncio.ensure_future(work)  # noqa: TID251 - it ends before this does
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
