"""What sessions of this process play on deployments, added to what those of all replicas do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from agentcore.kit.clock import Clock
from agentcore.kit.db import CommitUnknown, StorageUnavailable
from agentcore.training.openenv.models import RemoteEnvironment
from agentcore.training.openenv.ports import EnvironmentWatch, SessionWatch
from agentcore.training.openenv.specs import Played

WRITE_SECONDS = 10.0
# A deployment's name and address: what plays under its name elsewhere is none of it.
Place = tuple[str, str]


class PlayedStore(Protocol):
    """Where all replicas add up."""

    async def add_played(self, played: Mapping[Place, Played]) -> None:
        """Raises ``StorageUnavailable``; nothing is added then, or, ``CommitUnknown``, perhaps."""


@dataclass(slots=True)
class _Count:
    requests: int = 0
    episodes: int = 0
    seconds: float = 0.0


class DeploymentUsage:
    """Counts in memory and writes every ten seconds: a process that is killed loses so much."""

    def __init__(self, store: PlayedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: defaultdict[Place, _Count] = defaultdict(_Count)

    def watch(self, served: RemoteEnvironment, beside: EnvironmentWatch) -> EnvironmentWatch:
        """Count the sessions played at ``served``; ``beside`` is told all as well."""
        return _Watch(self, (served.name, str(served.url).rstrip("/")), beside)

    def count(self, place: Place) -> _Count:
        return self._counts[place]

    def now(self) -> float:
        return self._clock.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(WRITE_SECONDS)
            await self.write()

    async def close(self) -> None:
        """Write the rest, if the database is there."""
        with suppress(StorageUnavailable):
            await self.write()

    async def write(self) -> None:
        """Add what was counted since the last time; raises ``StorageUnavailable``."""
        counts, self._counts = self._counts, defaultdict(_Count)
        if not counts:
            return
        played = {
            place: Played(count.requests, count.episodes, count.seconds)
            for place, count in counts.items()
        }
        try:
            await self._store.add_played(played)
        except CommitUnknown:
            # It may stand, and counting twice would be worse than not at all.
            raise
        except BaseException:
            self._put_back(counts)
            raise

    def _put_back(self, counts: dict[Place, _Count]) -> None:
        for place, count in counts.items():
            now = self._counts[place]
            now.requests += count.requests
            now.episodes += count.episodes
            now.seconds += count.seconds


class _Watch:
    def __init__(self, usage: DeploymentUsage, place: Place, beside: EnvironmentWatch) -> None:
        self._usage = usage
        self._place = place
        self._beside = beside

    def opened(self) -> SessionWatch:
        return _Session(self._usage, self._place, self._beside.opened())

    def refused(self) -> None:
        self._beside.refused()

    def left_running(self) -> Callable[[], None]:
        return self._beside.left_running()


class _Session:
    def __init__(self, usage: DeploymentUsage, place: Place, beside: SessionWatch) -> None:
        self._usage = usage
        self._place = place
        self._beside = beside
        self._began: float | None = None

    def reset(self, seconds: float) -> None:
        self._began = self._usage.now() - seconds
        self._usage.count(self._place).requests += 1
        self._beside.reset(seconds)

    def stepped(self, seconds: float, reward: float, *, done: bool) -> None:
        count = self._usage.count(self._place)
        count.requests += 1
        if done and self._began is not None:
            count.episodes += 1
            count.seconds += self._usage.now() - self._began
            self._began = None
        self._beside.stepped(seconds, reward, done=done)

    def lost(self) -> None:
        self._began = None
        self._beside.lost()

    def closed(self) -> None:
        self._beside.closed()
