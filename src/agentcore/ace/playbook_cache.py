"""The write-through cache of playbooks.

In one process, a read never gives a version older than one that this process has shown to anybody:
while a write is under way, readers ask the database; each write leaves a floor, and what lies below
the floor counts as a miss. Across processes a stale entry lives no longer than its time to live.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import dumps

# A floor must outlive every entry that was written below it, slow writers included.
SLACK_SECONDS = 60.0


class CachedPlaybook(BaseModel):
    """A playbook with the tenant that may see it."""

    tenant: str
    playbook: ContextPlaybook


@dataclass(frozen=True, slots=True)
class _Floor:
    """``playbook_id`` is empty where the playbook was deleted: then nothing cached counts."""

    playbook_id: str
    version: int
    until: float

    def admits(self, playbook: ContextPlaybook) -> bool:
        return playbook.playbook_id == self.playbook_id and playbook.version >= self.version


class PlaybookCache:
    def __init__(
        self, config: ACEConfig, cache: Cache, *, clock: Clock, metrics: ACEMetrics
    ) -> None:
        self._enabled = config.ace_enable_cache
        self._ttl = float(config.ace_cache_ttl_seconds)
        self._cache = cache
        self._clock = clock
        self._metrics = metrics
        self._floors: dict[str, _Floor] = {}
        self._writers: Counter[str] = Counter()

    @contextmanager
    def writing(self, agent_id: str) -> Iterator[None]:
        """Around a commit and :meth:`written`, :meth:`overtaken` or :meth:`deleted`.

        Others may see the commit, in the agent's status for instance, before its writer does.
        """
        self._writers[agent_id] += 1
        try:
            yield
        finally:
            self._writers[agent_id] -= 1
            if not self._writers[agent_id]:
                del self._writers[agent_id]

    async def get(self, agent_id: str) -> CachedPlaybook | None:
        if not self._enabled:
            return None
        found = _read(await self._cache.get(_key(agent_id)))
        # Asked after the read: a write that was acknowledged meanwhile must be seen.
        if found is None or not self._admits(found):
            self._metrics.cache_misses.inc()
            return None
        self._metrics.cache_hits.inc()
        return found

    async def fill(self, found: CachedPlaybook) -> None:
        """Keep what was read from the database, unless this process has written since."""
        if self._enabled and self._admits(found):
            await self._set(found)

    async def written(self, found: CachedPlaybook) -> None:
        """Call after the commit and before acknowledging it."""
        if self._is_newest(found.playbook) and self._enabled:
            await self._set(found)

    async def overtaken(self, playbook: ContextPlaybook) -> None:
        """As :meth:`written`, for a writer that does not know whose playbook it is."""
        if self._is_newest(playbook):
            await self._cache.delete(_key(playbook.agent_id))

    async def deleted(self, agent_id: str) -> None:
        self._raise_floor(agent_id, "", 0)
        await self._cache.delete(_key(agent_id))

    async def _set(self, found: CachedPlaybook) -> None:
        value = dumps(found.model_dump())
        await self._cache.set(_key(found.playbook.agent_id), value, ttl=self._ttl)

    def _admits(self, found: CachedPlaybook) -> bool:
        agent_id = found.playbook.agent_id
        floor = self._floor(agent_id)
        return agent_id not in self._writers and (floor is None or floor.admits(found.playbook))

    def _floor(self, agent_id: str) -> _Floor | None:
        floor = self._floors.get(agent_id)
        return floor if floor is not None and floor.until > self._clock.monotonic() else None

    def _is_newest(self, playbook: ContextPlaybook) -> bool:
        """Raise the floor to it; False where a faster writer has left a later version."""
        floor = self._floor(playbook.agent_id)
        same = floor is not None and floor.playbook_id == playbook.playbook_id
        if floor is not None and same and floor.version > playbook.version:
            return False
        self._raise_floor(playbook.agent_id, playbook.playbook_id, playbook.version)
        return True

    def _raise_floor(self, agent_id: str, playbook_id: str, version: int) -> None:
        now = self._clock.monotonic()
        self._floors.pop(agent_id, None)
        self._floors[agent_id] = _Floor(playbook_id, version, now + self._ttl + SLACK_SECONDS)
        # All floors last equally long, so the oldest ones stand first.
        while (oldest := next(iter(self._floors))) and self._floors[oldest].until <= now:
            del self._floors[oldest]


def _key(agent_id: str) -> str:
    return f"ace:playbook:{agent_id}"


def _read(raw: bytes | None) -> CachedPlaybook | None:
    if raw is None:
        return None
    try:
        return CachedPlaybook.model_validate_json(raw)
    except ValidationError:
        return None
