"""Those who follow a task, and what reaches them: committed events, in order, none missing.

A feed keeps the last events of a task that somebody here works on or follows. Whoever comes late,
or reads slowly, is served from the log in the database and then from here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice

from agentcore.a2a_protocol.models.task import TaskEvent

KEPT_EVENTS = 1024
KEPT_BYTES = 4 * 1024 * 1024


class Feed:
    """``seq`` is the number of the last event that is known here to be committed.

    ``local`` while the task runs in this process, ``tailed`` while somebody reads its log for
    what others write; ``poked`` makes that one look at once.
    """

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.holders = 0
        self.local = False
        self.tailed = False
        self.gone = False
        self.poked = asyncio.Event()
        self._events: deque[TaskEvent] = deque()
        self._bytes = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._pulse: asyncio.TimerHandle | None = None

    def tell(self, events: Iterable[TaskEvent]) -> None:
        """Take in what was committed; events that are known already are passed over."""
        known = self.seq
        for event in events:
            if event.seq <= self.seq:
                continue
            if event.seq > self.seq + 1:
                self._events.clear()
                self._bytes = 0
            self._events.append(event)
            self._bytes += len(event.body)
            self.seq = event.seq
        while len(self._events) > KEPT_EVENTS or self._bytes > KEPT_BYTES:
            self._bytes -= len(self._events.popleft().body)
        if self.seq > known:
            self._wake()

    def close(self) -> None:
        """The task is gone: its followers stop."""
        self.gone = True
        self._wake()

    def since(self, after: int) -> list[TaskEvent] | None:
        """The events behind ``after``; None where the log has to be asked."""
        missing = self.seq - after
        if missing <= 0:
            return []
        # Without gaps and up to ``seq``: what is asked for stands at the end.
        if missing > len(self._events):
            return None
        newest = list(islice(reversed(self._events), missing))
        newest.reverse()
        return newest

    def changed(self, after: int, seconds: float) -> asyncio.Future[None]:
        """To be awaited: an event behind ``after``, or that nothing has come for so long.

        All who wait share one timer: one of their own each would cost them more than the event.
        """
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        if self.seq > after or self.gone:
            waiting.set_result(None)
            return waiting
        if self._pulse is None:
            self._pulse = loop.call_later(seconds, self._wake)
        self._waiting.append(waiting)
        return waiting

    def _wake(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():  # it was cancelled
                each.set_result(None)


class Feeds:
    """The feeds of this process, each as long as somebody holds it."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    def hold(self, task_id: str, seq: int) -> Feed:
        """The task's feed, to be let go; ``seq`` is what the holder knows to be committed."""
        feed = self._feeds.get(task_id)
        if feed is None:
            feed = self._feeds[task_id] = Feed(seq)
        feed.holders += 1
        return feed

    def let_go(self, task_id: str, feed: Feed) -> None:
        feed.holders -= 1
        if not feed.holders:
            del self._feeds[task_id]

    def find(self, task_id: str) -> Feed | None:
        return self._feeds.get(task_id)
