from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Time that stands still until a test advances it; sleepers wake in order."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def time(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._elapsed + seconds, waking))
        await waking

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds
        due = [item for item in self._sleepers if item[0] <= self._elapsed]
        self._sleepers = [item for item in self._sleepers if item[0] > self._elapsed]
        for _, waking in sorted(due, key=lambda item: item[0]):
            if not waking.done():
                waking.set_result(None)

    def suspend(self, seconds: timedelta) -> None:
        """The machine sleeps: the wall's clock goes on."""
        self._start += seconds

    async def advance_until_idle(self, seconds: float, step: float = 0.05) -> None:
        """Advance in steps and let sleepers run between them."""
        for _ in range(round(seconds / step)):
            self.advance(step)
            await asyncio.sleep(0)


class InstantClock(ManualClock):
    """Who sleeps is awake again at once, and later by as much."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
