"""Word between processes that a task has news: it makes them look sooner, and nothing more.

What was written stands in the database; whoever misses the word finds it there a little later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agentcore.kit import jsonvalue
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import list_of, object_in
from agentcore.kit.supervisor import Supervisor

CHANNEL = "a2a:tasks"
# What is announced within this time goes out together.
GATHER_SECONDS = 0.01


class Channel(Protocol):
    """The part of the cache that carries messages to every process."""

    async def publish(self, channel: str, message: bytes) -> None: ...

    def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None: ...


class Signals(Protocol):
    def announce(self, task_id: str) -> None:
        """Tell the other processes, soon; never fails."""
        ...


class BothSignals:
    def __init__(self, *signals: Signals) -> None:
        self._signals = signals

    def announce(self, task_id: str) -> None:
        for each in self._signals:
            each.announce(task_id)


class ChannelSignals:
    def __init__(
        self,
        channel: Channel,
        heard: Callable[[str], None],
        *,
        sender: str,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        """``heard`` is called with each task that another process announces."""
        self._channel = channel
        self._heard = heard
        self._sender = sender
        self._supervisor = supervisor
        self._clock = clock
        self._waiting: dict[str, None] = {}
        channel.subscribe(CHANNEL, self._receive)

    def announce(self, task_id: str) -> None:
        if not self._waiting:
            self._supervisor.spawn("announce tasks", self._send())
        self._waiting[task_id] = None

    async def _send(self) -> None:
        await self._clock.sleep(GATHER_SECONDS)
        announced, self._waiting = list(self._waiting), {}
        message = jsonvalue.dumps({"from": self._sender, "tasks": announced})
        await self._channel.publish(CHANNEL, message)

    def _receive(self, message: bytes) -> None:
        said = object_in(message)
        if said.get("from") == self._sender:
            return
        for task_id in list_of(said.get("tasks")):
            self._heard(str(task_id))
