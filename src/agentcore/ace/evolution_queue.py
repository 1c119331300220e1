"""Who waits for evolution: a bounded queue in memory, in which an agent stands once.

It is only a cache. What waits is derived from the database, so a queue that dies loses nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from agentcore.ace.errors import EvolutionQueueFull


class EvolutionQueue:
    def __init__(self, size: int, *, retry_after: float) -> None:
        """``retry_after``: the seconds that a refused caller is told to wait."""
        self._size = size
        self._retry_after = retry_after
        self._waiting: dict[str, None] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, agent_id: str) -> None:
        """Refuse now what :meth:`put` would refuse.

        Raises:
            EvolutionQueueFull: no place left for this agent.
        """
        if agent_id not in self._waiting and len(self._waiting) >= self._size:
            raise EvolutionQueueFull(self._size, self._retry_after)

    def put(self, agent_id: str) -> int:
        """Queue the agent, at once; returns its position, from 1."""
        self.admit(agent_id)
        if agent_id in self._waiting:
            return list(self._waiting).index(agent_id) + 1
        self._waiting[agent_id] = None
        self._filled.set()
        return len(self._waiting)

    async def take(self, limit: int, *, timeout: float) -> list[str]:
        """Up to ``limit`` agents, the first come first; empty when none came within ``timeout``."""
        if not self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._filled.wait()
        self._filled.clear()
        taken = list(self._waiting)[:limit]
        for agent_id in taken:
            del self._waiting[agent_id]
        return taken

    def wake(self) -> None:
        """Let the :meth:`take` that waits, or else the next one, return at once."""
        self._filled.set()
