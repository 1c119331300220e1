"""Following a task from any process: its log, then what is written from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import structlog

from agentcore.a2a_protocol.models.task import TERMINAL, TaskEvent, TaskRecord
from agentcore.a2a_protocol.tasks.feeds import Feed, Feeds
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.supervisor import Supervisor

QUIET_SECONDS = 15.0
QUIET_LOOKS = 40

log = structlog.get_logger()


class Followers:
    """``follow_seconds`` lie between two looks at what other processes may have written."""

    def __init__(
        self,
        store: VersionedTaskStore,
        feeds: Feeds,
        *,
        supervisor: Supervisor,
        follow_seconds: float,
    ) -> None:
        self._store = store
        self._feeds = feeds
        self._supervisor = supervisor
        self._follow_seconds = follow_seconds

    async def follow(self, record: TaskRecord, after: int) -> AsyncGenerator[TaskEvent | None]:
        """The task's events behind ``after``, until a turn or the task ends.

        None stands for a time without events. Events that the log has lost are passed over.
        """
        feed, ended = self._feeds.hold(record.task_id, record.version), record.state in TERMINAL
        try:
            self._tail(record, feed)
            while True:
                events = feed.since(after)
                if events is None:
                    events = await self._store.events(record.task_id, after)
                    after = after if events else feed.seq
                for event in events:
                    after = event.seq
                    yield event
                    if event.ends and (event.state in TERMINAL or after >= feed.seq):
                        return
                if events:
                    continue
                if feed.gone or ended:
                    return
                await feed.changed(after, QUIET_SECONDS)
                if feed.seq <= after and not feed.gone:
                    yield None
        finally:
            self._feeds.let_go(record.task_id, feed)

    async def resumable(self, record: TaskRecord, after: int) -> bool:
        """Whether the log still has every event behind ``after``."""
        if after >= record.version:
            # What comes behind an event that never was would be waited for in vain.
            return after == record.version
        nearest = await self._store.events(record.task_id, after, 1)
        return bool(nearest) and nearest[0].seq == after + 1

    def tell(self, task_id: str, events: Sequence[TaskEvent]) -> None:
        """They have been committed to the task, behind all that came before."""
        if feed := self._feeds.find(task_id):
            feed.tell(events)

    def heard(self, task_id: str) -> None:
        """Another process has written to the task."""
        if feed := self._feeds.find(task_id):
            feed.poked.set()

    def _tail(self, record: TaskRecord, feed: Feed) -> None:
        """See to it that the feed hears what other processes write to the task."""
        if not feed.tailed and not feed.local and record.state not in TERMINAL:
            feed.tailed = True
            self._supervisor.spawn(f"tail {record.task_id}", self._tailed(record, feed))

    async def _tailed(self, record: TaskRecord, feed: Feed) -> None:
        quiet = 0
        while feed.holders and not feed.gone:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._follow_seconds):
                    await feed.poked.wait()
            feed.poked.clear()
            if feed.local:
                continue
            try:
                events = await self._store.events(record.task_id, feed.seq)
                feed.tell(events)
                quiet = 0 if events else quiet + 1
                if quiet >= QUIET_LOOKS:
                    quiet = 0
                    if await self._store.peek(record.task_id) is None:
                        feed.close()
            except StorageUnavailable as error:
                log.warning("a task cannot be followed now", reason=error.detail)
        feed.tailed = False
