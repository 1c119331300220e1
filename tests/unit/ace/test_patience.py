from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from agentcore.ace.patience import ATTEMPTS, LONGEST_PAUSE, patiently
from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import Conflict
from tests.fakes.clock import ManualClock


class Failing:
    """A store that fails so many times, and then works."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.asked = 0
        self._error = error

    async def run(self, work: Callable[[Unit], Awaitable[int]]) -> int:
        self.asked += 1
        if self.asked <= self.left:
            raise self._error
        return 7


async def asked(failing: Failing) -> int:
    """What comes of it, with all the time it wants."""
    clock = ManualClock()

    async def work(unit: Unit) -> int:
        raise AssertionError("the store does it")

    waiting = asyncio.ensure_future(patiently(cast("ContextStore", failing), work, clock))
    async with asyncio.timeout(20):
        while not waiting.done():
            await asyncio.sleep(0)
            clock.advance(LONGEST_PAUSE)
    return await waiting


async def test_a_database_that_comes_back_is_waited_for() -> None:
    assert await asked(Failing(ATTEMPTS - 1, StorageUnavailable("it starts"))) == 7


async def test_one_that_stays_away_is_told() -> None:
    with pytest.raises(StorageUnavailable):
        await asked(Failing(ATTEMPTS, StorageUnavailable("it is gone")))


async def test_nothing_else_is_repeated() -> None:
    failing = Failing(1, Conflict("somebody else was faster"))
    with pytest.raises(Conflict):
        await asked(failing)
    assert failing.asked == 1
