"""The write-through cache of playbooks: this process's memory, then Redis.

In one process, a read never gives a version older than one that this process has shown to anybody:
while a write is under way, readers ask the database; each write leaves a floor, and what lies below
the floor counts as a miss. Writers tell the other processes, whose floors rise when they hear of
it; what they do not hear of is stale no longer than the time to live, counted from the moment when
it was read from the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, ValidationError

from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.nearby import CachedPlaybook, Nearby
from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import dumps

CHANNEL = "ace:playbooks"
# A floor must outlive every entry that was written below it, slow writers included.
SLACK_SECONDS = 60.0
# Beyond these, what other processes write is stale for its time to live at most, as unheard.
MOST_HEARD = 20_000


class _News(BaseModel):
    """A write as other processes are told of it; of a playbook that is gone, the id is empty."""

    sender: str
    agent_id: str
    playbook_id: str
    version: int


@dataclass(frozen=True, slots=True)
class _Floor:
    """``playbook_id`` is empty where the playbook was deleted: then nothing cached counts."""

    playbook_id: str
    version: int
    until: float

    def admits(self, playbook: ContextPlaybook) -> bool:
        return playbook.playbook_id == self.playbook_id and playbook.version >= self.version


class _Floors:
    def __init__(self, clock: Clock, lifetime: float, most: int | None = None) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._most = most
        self._of: dict[str, _Floor] = {}

    def admits(self, playbook: ContextPlaybook) -> bool:
        floor = self._get(playbook.agent_id)
        return floor is None or floor.admits(playbook)

    def lift(self, agent_id: str, playbook_id: str, version: int) -> bool:
        """False where a later version of the same playbook has lifted it before."""
        floor = self._get(agent_id)
        if floor is not None and floor.playbook_id == playbook_id and floor.version > version:
            return False
        now = self._clock.monotonic()
        self._of.pop(agent_id, None)
        self._of[agent_id] = _Floor(playbook_id, version, now + self._lifetime)
        # All floors last equally long, so the oldest ones stand first.
        while self._of[oldest := next(iter(self._of))].until <= now or self._too_many():
            del self._of[oldest]
        return True

    def _get(self, agent_id: str) -> _Floor | None:
        floor = self._of.get(agent_id)
        return floor if floor is not None and floor.until > self._clock.monotonic() else None

    def _too_many(self) -> bool:
        return self._most is not None and len(self._of) > self._most


class PlaybookCache:
    def __init__(
        self, config: ACEConfig, cache: Cache, *, clock: Clock, ids: Ids, metrics: ACEMetrics
    ) -> None:
        self._enabled = config.ace_enable_cache
        self._ttl = float(config.ace_cache_ttl_seconds)
        self._cache = cache
        self._clock = clock
        self._metrics = metrics
        self._nearby = Nearby(clock)
        self._own = _Floors(clock, self._ttl + SLACK_SECONDS)
        # Apart from our own: news may come late, and must not lower what we have acknowledged.
        self._heard = _Floors(clock, self._ttl + SLACK_SECONDS, MOST_HEARD)
        self._writers: Counter[str] = Counter()
        self._name = str(ids.new())
        cache.subscribe(CHANNEL, self._hear)

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
        found = self._nearby.get(agent_id, era=self._cache.era)
        if found is None or not self._admits(found):
            found = await self._from_afar(agent_id)
        if found is None:
            self._metrics.cache_misses.inc()
            return None
        self._metrics.cache_hits.inc()
        return found

    async def fill(self, tenant: str, playbook: ContextPlaybook) -> CachedPlaybook:
        """Keep what was read from the database, unless something later is known of."""
        found = self._dated(tenant, playbook)
        if self._enabled and self._admits(found):
            await self._set(found)
        return found

    async def written(self, tenant: str, playbook: ContextPlaybook) -> None:
        """Call after the commit and before acknowledging it."""
        if not self._is_newest(playbook):
            return
        if self._enabled:
            await self._set(self._dated(tenant, playbook))
        await self._tell(playbook.agent_id, playbook.playbook_id, playbook.version)

    async def overtaken(self, playbook: ContextPlaybook) -> None:
        """As :meth:`written`, for a writer that does not know whose playbook it is."""
        if self._is_newest(playbook):
            await self._cache.delete(_key(playbook.agent_id))
            await self._tell(playbook.agent_id, playbook.playbook_id, playbook.version)

    async def deleted(self, agent_id: str) -> None:
        """From now on it is shown from the database only, until it is written again."""
        self._nearby.drop(agent_id)
        self._lift(agent_id, "", 0)
        await self._cache.delete(_key(agent_id))
        await self._tell(agent_id, "", 0)

    async def _from_afar(self, agent_id: str) -> CachedPlaybook | None:
        era = self._cache.era
        raw = await self._cache.get(_key(agent_id))
        found = _read(raw)
        # Asked after the read: a write that was acknowledged meanwhile must be seen.
        if raw is None or found is None or not self._admits(found):
            return None
        if found.until <= self._clock.now():
            return None
        self._nearby.keep(found, size=len(raw), era=era)
        return found

    async def _set(self, found: CachedPlaybook) -> None:
        era = self._cache.era
        value = dumps(found.model_dump())
        self._nearby.keep(found, size=len(value), era=era)
        await self._cache.set(_key(found.playbook.agent_id), value, ttl=self._ttl)

    async def _tell(self, agent_id: str, playbook_id: str, version: int) -> None:
        news = _News(sender=self._name, agent_id=agent_id, playbook_id=playbook_id, version=version)
        await self._cache.publish(CHANNEL, dumps(news.model_dump()))

    def _hear(self, message: bytes) -> None:
        try:
            news = _News.model_validate_json(message)
        except ValidationError:
            return
        # Our own echo comes late: we have gone on since.
        if news.sender != self._name:
            self._heard.lift(news.agent_id, news.playbook_id, news.version)

    def _dated(self, tenant: str, playbook: ContextPlaybook) -> CachedPlaybook:
        until = self._clock.now() + timedelta(seconds=self._ttl)
        return CachedPlaybook(tenant=tenant, playbook=playbook, until=until)

    def _admits(self, found: CachedPlaybook) -> bool:
        playbook = found.playbook
        if playbook.agent_id in self._writers:
            return False
        return self._own.admits(playbook) and self._heard.admits(playbook)

    def _is_newest(self, playbook: ContextPlaybook) -> bool:
        """Raise the floor to it; False where a faster writer has left a later version."""
        return self._lift(playbook.agent_id, playbook.playbook_id, playbook.version)

    def _lift(self, agent_id: str, playbook_id: str, version: int) -> bool:
        # What we have just committed is newer than what we have heard.
        self._heard.lift(agent_id, playbook_id, version)
        return self._own.lift(agent_id, playbook_id, version)


def _key(agent_id: str) -> str:
    return f"ace:playbook:{agent_id}"


def _read(raw: bytes | None) -> CachedPlaybook | None:
    if raw is None:
        return None
    try:
        return CachedPlaybook.model_validate_json(raw)
    except ValidationError:
        return None
