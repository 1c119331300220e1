"""The newest events of a session, kept for readers that come late, come back or fall behind."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice
from weakref import WeakSet


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """``missed`` events are kept no longer; None where the reader's last id is not one of ours."""

    missed: int | None


class Journal:
    """A bounded log; to write never waits, and each reader has its own place in it.

    Ids are ``{name}-{number}``, so that an id of another journal is recognised as foreign. The
    newest entry is kept whatever its size.
    """

    def __init__(self, name: str, *, most_entries: int, most_bytes: int) -> None:
        self._name = name
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._kept: deque[Entry] = deque()
        self._size = 0
        self._newest = 0
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._readers: WeakSet[Reader] = WeakSet()

    @property
    def newest(self) -> str:
        """The id of the last entry; number 0 before the first."""
        return self._id(self._newest)

    @property
    def next_id(self) -> str:
        return self._id(self._newest + 1)

    @property
    def readers(self) -> int:
        return len(self._readers)

    def put(self, data: bytes) -> None:
        """Add the entry whose id was ``next_id``."""
        self._newest += 1
        self._kept.append(Entry(self._id(self._newest), data))
        self._size += len(data)
        while len(self._kept) > 1 and (
            len(self._kept) > self._most_entries or self._size > self._most_bytes
        ):
            self._size -= len(self._kept.popleft().data)
        self._wake()

    def end(self) -> None:
        """Readers end when they have read what is kept."""
        self._ended = True
        self._wake()

    def reader(self, after: str | None) -> Reader:
        """Reads on behind the entry ``after``: None is the newest, ``0`` all that is kept."""
        reader = Reader(self, after)
        self._readers.add(reader)
        return reader

    def forget(self, reader: Reader) -> None:
        self._readers.discard(reader)

    def number(self, entry_id: str) -> int | None:
        """The number in an id of this journal; None for a foreign one."""
        if entry_id == "0":
            return self._newest - len(self._kept)
        name, _, number = entry_id.rpartition("-")
        if name != self._name or not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        return int(number) if int(number) <= self._newest else None

    def since(self, number: int | None) -> tuple[Gap | None, int, list[Entry]]:
        """What lies behind ``number``: a gap if there is one, the newest number, the entries."""
        oldest = self._newest - len(self._kept)
        gap = None
        if number is None:
            gap, number = Gap(None), oldest
        elif number < oldest:
            gap, number = Gap(oldest - number), oldest
        return gap, self._newest, list(islice(self._kept, number - oldest, None))

    async def news(self) -> bool:
        """Wait for an entry; False when none will come."""
        if self._ended:
            return False
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
        return True

    def _id(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


class Reader:
    """One reader's place; a slow one finds a ``Gap`` where the journal has gone past it."""

    def __init__(self, journal: Journal, after: str | None) -> None:
        self._journal = journal
        self._place = journal.number(journal.newest if after is None else after)

    async def read(self) -> list[Entry | Gap]:
        """What is new, waiting for it; empty when the journal has ended."""
        while True:
            gap, place, entries = self._journal.since(self._place)
            self._place = place
            if gap is not None:
                return [gap, *entries]
            if entries:
                return [*entries]
            if not await self._journal.news():
                return []

    def close(self) -> None:
        """Give its place back; one that was never used gives it back when it is forgotten."""
        self._journal.forget(self)
