"""Caches of several processes on one store, whose messages travel when the test says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock


@dataclass
class Wire:
    """What Redis would be: keys that expire, and messages under way."""

    clock: Clock
    kept: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    processes: list[WiredCache] = field(default_factory=list)
    under_way: list[tuple[str, bytes]] = field(default_factory=list)

    def deliver(self, position: int = 0) -> None:
        """Hand one message to all processes; its sender hears it, too."""
        channel, message = self.under_way.pop(position)
        for process in self.processes:
            process.hear(channel, message)


class WiredCache(Cache):
    def __init__(self, wire: Wire) -> None:
        super().__init__(None, namespace="wired", timeout=1, clock=wire.clock)
        self._wire = wire
        wire.processes.append(self)

    async def get(self, key: str) -> bytes | None:
        expires, value = self._wire.kept.get(key, (0.0, None))
        return value if expires > self._wire.clock.monotonic() else None

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        self._wire.kept[key] = (self._wire.clock.monotonic() + ttl, value)

    async def delete(self, *keys: str) -> None:
        for key in keys:
            self._wire.kept.pop(key, None)

    async def publish(self, channel: str, message: bytes) -> None:
        self._wire.under_way.append((channel, message))

    def hear(self, channel: str, message: bytes) -> None:
        self._deliver(channel, message)

    def miss_messages(self) -> None:
        """As when the connection broke and came back."""
        self._era += 1
