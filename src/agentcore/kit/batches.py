"""Writes of many in one: while some are under way, the next gather.

The database takes hardly longer for ten rows than for one, and has one commit to make durable.
Nobody is told that a write is done before it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentcore.kit.db import StorageUnavailable
from agentcore.kit.supervisor import Supervisor

# So many batches are on their way at once: behind a large one the others do not wait.
LANES = 2
MOST = 64

T = TypeVar("T")
R = TypeVar("R")
Write = Callable[[Sequence[T]], Awaitable[Mapping[str, R]]]


@dataclass(slots=True)
class Waiting(Generic[T, R]):
    name: str
    item: T
    written: asyncio.Future[R | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def tell(self, result: R | None) -> None:
        if not self.written.done():
            self.written.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.written.done():
            self.written.set_exception(error)


class Batches(Generic[T, R]):
    def __init__(
        self,
        label: str,
        write: Write[T, R],
        name: Callable[[T], str],
        *,
        supervisor: Supervisor,
        refused: tuple[type[Exception], ...] = (),
    ) -> None:
        """``write`` gives what became of those that it has written, by ``name``.

        It raises ``refused`` for what one of them cannot have: then each is tried alone.
        """
        self._label = label
        self._write = write
        self._name = name
        self._supervisor = supervisor
        self._refused = refused
        self._waiting: list[Waiting[T, R]] = []
        self._busy = 0

    async def write(self, item: T) -> R | None:
        """What became of it; None where it was not written.

        A caller that is cancelled does not take the write with it.
        """
        waiting: Waiting[T, R] = Waiting(self._name(item), item)
        self._waiting.append(waiting)
        if self._busy < LANES:
            self._busy += 1
            self._supervisor.spawn(self._label, self._run())
        return await waiting.written

    async def _run(self) -> None:
        batch: list[Waiting[T, R]] = []
        try:
            while batch := self._next():
                await self._written(batch)
        finally:
            self._busy -= 1
            for each in batch:  # only where this was cancelled amid the write
                each.written.cancel()

    def _next(self) -> list[Waiting[T, R]]:
        """Those that came first, but of each name one only."""
        batch: dict[str, Waiting[T, R]] = {}
        later: list[Waiting[T, R]] = []
        for each in self._waiting:
            if each.name in batch or len(batch) >= MOST:
                later.append(each)
            else:
                batch[each.name] = each
        self._waiting = later
        return list(batch.values())

    async def _written(self, batch: Sequence[Waiting[T, R]]) -> None:
        try:
            written = await self._write([each.item for each in batch])
        except StorageUnavailable as error:
            for each in batch:
                each.fail(error)
        except self._refused as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for each in batch:
                await self._written([each])
        else:
            for each in batch:
                each.tell(written.get(each.name))
