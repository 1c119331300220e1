"""What keeps tasks from staying at work, or in the way, for ever.

A running task's row carries the lease of its process, renewed while the agent works. A process
that died stops renewing; whoever looks next fails the task.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import TaskRecord
from agentcore.a2a_protocol.tasks.endings import failed
from agentcore.a2a_protocol.tasks.journal import Desk, moment
from agentcore.a2a_protocol.tasks.reports import Reporter
from agentcore.a2a_protocol.tasks.signals import Signals
from agentcore.a2a_protocol.tasks.turns import Turns
from agentcore.a2a_protocol.tasks.writes.store import Change
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.ids import Ids

# A process that heard no word of a cancellation notices it by then.
LOOK_SECONDS = 1.0
PRUNE_SECONDS = 600.0
# How long leaving waits for observers.
TOLD_SECONDS = 10.0

log = structlog.get_logger()


# Takes over lost tasks that can go on; their ids.
Adopt = Callable[[datetime], Awaitable[Sequence[str]]]


class Upkeep:
    def __init__(
        self,
        desk: Desk,
        turns: Turns,
        *,
        reporter: Reporter,
        signals: Signals,
        adopt: Adopt,
        config: A2AConfig,
        ids: Ids,
    ) -> None:
        self._desk = desk
        self._adopt = adopt
        self._store = desk.store
        self._clock = desk.clock
        self._turns = turns
        self._reporter = reporter
        self._signals = signals
        self._config = config
        self._ids = ids
        # Until when leases that are over say nothing about their holders.
        self._lenient_until = -math.inf

    async def watch(self) -> None:
        """Renew leases, look for lost tasks, forget old ones; runs until cancelled."""
        lease = self._desk.lease.total_seconds()
        tended = pruned = -PRUNE_SECONDS - lease
        while True:
            now = self._clock.monotonic()
            try:
                if now - tended >= lease / 3:
                    await self.tend()
                    tended = now
                else:
                    await self._look()
                if now - pruned >= PRUNE_SECONDS:
                    await self.prune()
                    pruned = now
            except StorageUnavailable as error:
                log.warning("tasks cannot be tended now", reason=error.detail)
                self.cut_off()
            await self._clock.sleep(min(lease / 3, LOOK_SECONDS))

    async def tend(self) -> None:
        await self._renew()
        if self._clock.monotonic() >= self._lenient_until:
            # First those whose work goes on elsewhere: they can be followed on. What has been
            # lost is lost at one moment, or the second look would fail what the first one missed.
            now = self._clock.now()
            adopted = await self._adopt(now)
            lost = await self._store.lost(now, self._lost)
            for task_id in (*adopted, *lost):
                self._signals.announce(task_id)
            await self._reporter.tell_unreported()

    def cut_off(self) -> None:
        """The database is away: nobody can renew leases, and all get the time to do so."""
        self._lenient_until = self._clock.monotonic() + self._desk.lease.total_seconds()

    async def prune(self) -> None:
        now = self._clock.now()
        while await self._store.prune(
            tasks_before=now - timedelta(days=self._config.task_retention_days),
            events_before=now - timedelta(hours=self._config.event_retention_hours),
        ):
            pass

    def heard(self, task_id: str) -> None:
        """Another process has written to the task."""
        if turn := self._turns.find(task_id):
            self._desk.supervisor.spawn(f"look {task_id}", self._turns.look(turn))

    async def close(self) -> None:
        """Fail what is still running here: nobody will take it up. Observers hear of it."""
        reason = "the service was stopped while this task was running"
        await self._turns.stop(reason)
        worker = self._desk.worker
        await self._store.lost(
            self._clock.now(), lambda record: self._failed(record, reason), worker=worker
        )
        await self._reporter.tell_unreported(mine=True)
        await self._reporter.told(TOLD_SECONDS)

    def _lost(self, record: TaskRecord) -> Change:
        return self._failed(record, "the process that ran this task was lost")

    def _failed(self, record: TaskRecord, reason: str) -> Change:
        change = failed(record, reason, now=moment(self._clock.now()), ids=self._ids)
        self._reporter.count(change.record)
        return change

    async def _renew(self) -> None:
        ids = [turn.live.run.task_id for turn in self._turns]
        if held := [*ids, *self._reporter.untold]:
            until = self._clock.now() + self._desk.lease
            self._compare(await self._store.renew(self._desk.worker, held, until), ids)

    async def _look(self) -> None:
        ids = [turn.live.run.task_id for turn in self._turns]
        if ids:
            self._compare(await self._store.versions(ids), ids)

    def _compare(self, versions: dict[str, int], ids: list[str]) -> None:
        """Look at the tasks of this process that somebody else may have written to."""
        for task_id in ids:
            turn = self._turns.find(task_id)
            if turn and versions.get(task_id, -1) != turn.journal.record.version:
                self.heard(task_id)
