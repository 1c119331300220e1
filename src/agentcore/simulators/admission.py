from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from agentcore.kit.clock import Clock
from agentcore.simulators.models import ClusterConfig
from agentcore.simulators.wire import RATE_LIMITED, Refused


class Admission:
    """Who may run: the node's slots, and the scheduler's budget of starts per heartbeat.

    The budget is Parallax's own quirk: ``max_running_request`` counts starts, nothing gives one
    back when a request ends, and only the next heartbeat clears the count.
    """

    def __init__(self, config: ClusterConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._slots = asyncio.Semaphore(config.capacity)
        self._heartbeat = 0
        self._started = 0
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot.

        Raises:
            Refused: full and told to reject, or no slot came free in time.
        """
        if self._slots.locked() and self._config.when_full == "reject":
            raise Refused(replace(RATE_LIMITED, status=self._config.reject_status))
        self.waiting += 1
        try:
            async with asyncio.timeout(self._config.queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise Refused(RATE_LIMITED) from None
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()

    async def start(self, heartbeat_seconds: float) -> None:
        """Spend one start of this heartbeat's budget, waiting for a heartbeat that has one.

        Raises:
            Refused: none had one in time.
        """
        begun = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            beat = int(now // heartbeat_seconds)
            if beat != self._heartbeat:
                self._heartbeat, self._started = beat, 0
            if self._started < self._config.capacity:
                self._started += 1
                return
            if now - begun >= self._config.queue_seconds:
                raise Refused(RATE_LIMITED)
            await self._clock.sleep((beat + 1) * heartbeat_seconds - now)
