"""Playbooks in this process's own memory: the least recently used go first, by number and size."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from agentcore.ace.models import ContextPlaybook
from agentcore.kit.clock import Clock

MOST_PLAYBOOKS = 4096
MOST_BYTES = 64 << 20


class CachedPlaybook(BaseModel):
    """A playbook with the tenant that may see it, and until when it may be shown unasked."""

    tenant: str
    playbook: ContextPlaybook
    until: datetime


@dataclass(frozen=True, slots=True)
class _Kept:
    found: CachedPlaybook
    size: int
    era: int


class Nearby:
    def __init__(self, clock: Clock, *, most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, agent_id: str, *, era: int) -> CachedPlaybook | None:
        """What was kept in this ``era`` and has not expired."""
        kept = self._kept.get(agent_id)
        if kept is None:
            return None
        if kept.era != era or kept.found.until <= self._clock.now():
            self.drop(agent_id)
            return None
        self._kept.move_to_end(agent_id)
        return kept.found

    def keep(self, found: CachedPlaybook, *, size: int, era: int) -> None:
        """``size`` is that of its serialised form, in bytes."""
        agent_id = found.playbook.agent_id
        self.drop(agent_id)
        self._kept[agent_id] = _Kept(found, size, era)
        self._bytes += size
        while len(self._kept) > MOST_PLAYBOOKS or self._bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, agent_id: str) -> None:
        gone = self._kept.pop(agent_id, None)
        if gone is not None:
            self._bytes -= gone.size
