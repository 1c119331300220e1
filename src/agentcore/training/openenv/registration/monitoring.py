"""Registered environments, asked again and again whether they still give episodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from agentcore.kit.clock import Clock
from agentcore.training.openenv.models import RegistryConfig
from agentcore.training.openenv.registration.records import EnvironmentRecord
from agentcore.training.openenv.registration.store import EnvironmentStore

log = structlog.get_logger()

MOST_AT_ONCE = 8
# How late what another replica registered or deployed may be noticed.
LONGEST_SLEEP = 15.0
# A check that a replica took and never finished is taken by another one so much later.
MARGIN = 30.0


class EnvironmentMonitor:
    """All replicas may run one: the database gives each due check to one of them.

    ``check`` records what it finds and when it is due again, ``failed`` that it could not;
    ``load`` is called before each round.
    """

    def __init__(
        self,
        config: RegistryConfig,
        store: EnvironmentStore,
        *,
        check: Callable[[EnvironmentRecord], Awaitable[EnvironmentRecord]],
        failed: Callable[[EnvironmentRecord, str], Awaitable[EnvironmentRecord]],
        load: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._config = config
        self._store = store
        self._check = check
        self._failed = failed
        self._load = load
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._load()
            if not await self.round():
                await self._clock.sleep(await self._pause())

    async def round(self) -> int:
        """Check what is due, a few at once; how many there were."""
        now = self._clock.now()
        until = now + timedelta(seconds=self._config.deep_health_seconds + MARGIN)
        due = await self._store.take_due(now=now, until=until, limit=MOST_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for record in due:
                group.create_task(self._one(record))
        return len(due)

    async def _one(self, record: EnvironmentRecord) -> None:
        """One environment must not keep the others from being checked, whatever it does."""
        try:
            await self._check(record)
        except Exception as error:
            log.exception("a check broke off", environment=record.qualified)
            await self._failed(record, f"the check broke off: {type(error).__name__}")

    async def _pause(self) -> float:
        due = await self._store.next_due()
        if due is None:
            return LONGEST_SLEEP
        return min(max((due - self._clock.now()).total_seconds(), 0.05), LONGEST_SLEEP)
