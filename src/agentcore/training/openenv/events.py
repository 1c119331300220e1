"""What happens in an episode, for those who watch it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from weakref import WeakSet

from agentcore.kit.jsonvalue import JsonObject

LONGEST_BACKLOG = 256


class Subscription(AsyncIterator[JsonObject]):
    """Events from the moment of subscribing on; ends when the source closes.

    A reader that falls behind by more than the backlog loses the oldest events; the next one it
    gets says how many in ``missed``.
    """

    def __init__(self, backlog: int) -> None:
        self._events: deque[JsonObject] = deque()
        self._backlog = backlog
        self._missed = 0
        self._closed = False
        self._news = asyncio.Event()

    def put(self, event: JsonObject) -> None:
        if len(self._events) == self._backlog:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._news.set()

    def end(self) -> None:
        self._closed = True
        self._news.set()

    async def __anext__(self) -> JsonObject:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        if self._missed:
            event = {**event, "missed": self._missed}
            self._missed = 0
        return event


class EventSource:
    """Hands events to every subscription that is still referred to; never waits for a reader."""

    def __init__(self) -> None:
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        # Asked in every step: where nobody ever subscribed, there is nothing to count.
        self._ever = False

    @property
    def watched(self) -> bool:
        return self._ever and len(self._subscriptions) > 0

    def subscribe(self, backlog: int = LONGEST_BACKLOG) -> Subscription:
        subscription = Subscription(backlog)
        self._ever = True
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, event: JsonObject) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)

    def end(self) -> None:
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()
