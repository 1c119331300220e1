"""What the registry sees to from time to time: ended drains, untold events, old lines, counts."""

from __future__ import annotations

from datetime import timedelta

from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.ports import Drains
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.registry.telling import Teller
from agentcore.kit.clock import Clock

TEND_SECONDS = 2.0
CENSUS_SECONDS = 10.0
# A task that began in the moment of the draining is in the database by then.
SETTLED = timedelta(seconds=2)
KEPT = timedelta(days=90)


class Upkeep:
    def __init__(
        self,
        store: RegistryStore,
        teller: Teller,
        agents: Drains,
        *,
        drain_seconds: float,
        clock: Clock,
        metrics: RegistryMetrics,
    ) -> None:
        self._store = store
        self._teller = teller
        self._agents = agents
        self._patience = timedelta(seconds=drain_seconds)
        self._clock = clock
        self._metrics = metrics

    async def watch(self) -> None:
        """Runs until cancelled; any number of processes may do the same."""
        while await self._store.fill_terms():
            pass
        counted = -CENSUS_SECONDS
        while True:
            await self.tend()
            if self._clock.monotonic() - counted >= CENSUS_SECONDS:
                counted = self._clock.monotonic()
                await self.count()
            await self._clock.sleep(TEND_SECONDS)

    async def tend(self) -> None:
        now = self._clock.now()
        over = await self._store.drained(
            began_before=now - SETTLED, patient_until=now - self._patience
        )
        for agent_id in over:
            await self._agents.drained(agent_id)
        await self._teller.tell_untold()

    async def count(self) -> None:
        now = self._clock.now()
        await self._store.prune(now - KEPT)
        self._metrics.count(await self._store.census(now))
