"""Tasks: begun by messages, worked on by hosted agents, followed and cancelled from any process.

A running task's row carries the lease of its process, renewed while the agent works. A process
that died stops renewing; whoever looks next fails the task, so that it never stays working for
ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from agentcore.a2a_protocol.errors import (
    InvalidParams,
    TaskNotCancelable,
    TaskNotFound,
    UnsupportedOperation,
)
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import (
    RUNNING,
    TERMINAL,
    Owner,
    TaskEvent,
    TaskFilter,
    TaskRecord,
    TaskState,
)
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.tasks.content import agent_message, part_json
from agentcore.a2a_protocol.tasks.feeds import Feed, Feeds
from agentcore.a2a_protocol.tasks.intake import Accepted, Intake
from agentcore.a2a_protocol.tasks.journal import Desk, moment
from agentcore.a2a_protocol.tasks.reports import Reporter
from agentcore.a2a_protocol.tasks.signals import Signals
from agentcore.a2a_protocol.tasks.snapshot import (
    TASK,
    TaskSnapshot,
    numbered,
    status_event,
    timestamp,
)
from agentcore.a2a_protocol.tasks.store import Change, Row, StoredTask
from agentcore.a2a_protocol.tasks.turns import Turn, Turns, Verdict
from agentcore.kit import jsonvalue
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import Conflict
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject

# Where a task says in its metadata which agent it belongs to; the names of the wire are camelCase.
AGENT_ID = "agentId"
# How often a write that others keep overtaking is tried.
TRIES = 10
QUIET_SECONDS = 15.0
# A process that heard no word of a cancellation notices it by then.
LOOK_SECONDS = 1.0
PRUNE_SECONDS = 600.0
QUIET_LOOKS = 40
# How long leaving waits for observers.
TOLD_SECONDS = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Begun:
    """What a message has led to: its task, and the turn that works on it, if it began one here.

    ``snapshot`` goes on with the turn: render it before anything is awaited. It stands at
    ``record.version``, behind which the events begin that answer the message.
    """

    record: TaskRecord
    snapshot: TaskSnapshot
    turn: Turn | None = None


class TaskManager:
    def __init__(
        self,
        desk: Desk,
        turns: Turns,
        *,
        feeds: Feeds,
        reporter: Reporter,
        signals: Signals,
        intake: Intake,
        config: A2AConfig,
        ids: Ids,
    ) -> None:
        self._desk = desk
        self._store = desk.store
        self._clock = desk.clock
        self._turns = turns
        self._feeds = feeds
        self._reporter = reporter
        self._signals = signals
        self._intake = intake
        self._config = config
        self._ids = ids

    async def send(self, sent: Sent) -> Begun:
        """Store the message and let its agent work on it.

        A message that was sent before leads to the task that it led to then.

        Raises:
            TaskNotFound: it names a task that is not there, or not its sender's.
            UnsupportedOperation: the task that it names has ended.
            InvalidParams: it names another context than its task's, or no agent of this service.
        """
        if not sent.task_id:
            return await self._new(sent)
        for _ in range(TRIES):
            stored = await self._owned(sent.owner, sent.task_id, sent.agent)
            hosting = await self._intake.addressee(sent, stored.record.agent_id)
            if not hosting.repeats and await self._store.said(sent.key) is not None:
                return Begun(stored.record, stored.snapshot)
            if sent.context_id and sent.context_id != stored.record.context_id:
                raise InvalidParams(
                    f"the task {sent.task_id} is of another context than {sent.context_id!r}",
                    hint="leave contextId out: the task knows it",
                )
            _check_open(stored.record)
            if stored.record.state in RUNNING:
                await self._turn_over(stored.record)
            elif begun := await self._continued(
                self._intake.accept(sent, hosting, stored.record.body), stored
            ):
                return begun
        raise Conflict(f"the task {sent.task_id} is changed by others all the time")

    async def reply(self, sent: Sent) -> JsonObject | None:
        """The message by which an agent answers without a task; None where it takes one."""
        hosting = None if sent.task_id else await self._intake.addressee(sent)
        if hosting is None or hosting.reply is None:
            return None
        context_id = sent.context_id or str(self._ids.new())
        message: JsonObject = {**sent.message, "contextId": context_id}
        seconds = self._config.blocking_seconds
        accepted = replace(self._intake.accept(sent, hosting), seconds=seconds)
        inbound = self._intake.message(accepted, "", message)
        said = await hosting.reply(inbound)
        if said is None:
            return None
        answer = agent_message(str(self._ids.new()), "", context_id, [part_json(said)])
        return {name: value for name, value in answer.items() if name != "taskId"}

    async def settled(self, begun: Begun, seconds: float) -> TaskSnapshot:
        """The task when its turn has ended, or as it stands after that time."""
        if begun.turn is not None:
            live, journal = begun.turn.live, begun.turn.journal
            await _within(seconds, live.settled.wait())
            if not journal.overtaken:
                return journal.snapshot
        else:
            await self._turn_over(begun.record, seconds=seconds)
        return (await self._owned(begun.record.owner, begun.record.task_id)).snapshot

    async def get(
        self, owner: Owner, task_id: str, *, history: int | None = None, agent: str = ""
    ) -> JsonObject:
        """The task; ``agent`` is the one through whose own address it is asked for."""
        stored = await self._owned(owner, task_id, agent, history=history)
        return stored.snapshot.rendered(history=history)

    async def find(self, owner: Owner, task_id: str, agent: str = "") -> StoredTask:
        return await self._owned(owner, task_id, agent)

    async def page(self, owner: Owner, wanted: TaskFilter) -> tuple[list[StoredTask], int]:
        return await self._store.page(owner, wanted)

    async def cancel(self, owner: Owner, task_id: str, agent: str = "") -> JsonObject:
        """End the task, wherever its agent works.

        Raises:
            TaskNotCancelable: it has ended already, or before the agent could be stopped.
        """
        for _ in range(TRIES):
            stored = await self._owned(owner, task_id, agent)
            if stored.record.state in TERMINAL:
                raise TaskNotCancelable(f"the task {task_id} has ended: {stored.record.state}")
            turn = self._turns.find(task_id)
            if turn is not None:
                turn.live.halt(Verdict(TaskState.CANCELED))
                await turn.live.settled.wait()
            elif not await self._cancelled(stored):
                continue
            ended = await self._owned(owner, task_id, agent)
            if ended.record.state is TaskState.CANCELED:
                return ended.snapshot.rendered()
        raise TaskNotCancelable(f"the task {task_id} could not be stopped before its end")

    async def follow(self, record: TaskRecord, after: int) -> AsyncGenerator[TaskEvent | None]:
        """The task's events behind ``after``, until a turn or the task ends.

        None stands for a time without events. Events that the log has lost are passed over.
        """
        feed = self._feeds.hold(record.task_id, record.version)
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
                    if event.state in TERMINAL or (event.ends and after >= feed.seq):
                        return
                if events:
                    continue
                if feed.gone or record.state in TERMINAL:
                    return
                await feed.changed(after, QUIET_SECONDS)
                if feed.seq <= after and not feed.gone:
                    yield None
        finally:
            self._feeds.let_go(record.task_id, feed)

    async def resumable(self, record: TaskRecord, after: int) -> bool:
        """Whether the log still has every event behind ``after``."""
        if after >= record.version:
            return True
        nearest = await self._store.events(record.task_id, after, 1)
        return bool(nearest) and nearest[0].seq == after + 1

    def heard(self, task_id: str) -> None:
        """Another process has written to the task."""
        if feed := self._feeds.find(task_id):
            feed.poked.set()
        if turn := self._turns.find(task_id):
            self._desk.supervisor.spawn(f"look {task_id}", self._turns.look(turn))

    async def watch(self) -> None:
        """Renew leases, look for lost tasks, forget old ones; runs until cancelled."""
        lease = self._desk.lease.total_seconds()
        tended = pruned = -PRUNE_SECONDS - lease
        while True:
            now = self._clock.monotonic()
            if now - tended >= lease / 3:
                tended = now
                await self.tend()
            else:
                await self._look()
            if now - pruned >= PRUNE_SECONDS:
                pruned = now
                await self.prune()
            await self._clock.sleep(min(lease / 3, LOOK_SECONDS))

    async def tend(self) -> None:
        await self._renew()
        for task_id in await self._store.lost(self._clock.now(), self._lost):
            self._signals.announce(task_id)
        await self._reporter.tell_unreported()

    async def prune(self) -> None:
        now = self._clock.now()
        while await self._store.prune(
            tasks_before=now - timedelta(days=self._config.task_retention_days),
            events_before=now - timedelta(hours=self._config.event_retention_hours),
        ):
            pass

    async def close(self) -> None:
        """Fail what is still running here: nobody will take it up. Observers hear of it."""
        reason = "the service was stopped while this task was running"
        await self._turns.stop(reason)
        worker = self._desk.worker
        await self._store.lost(
            self._clock.now(), lambda record: self._failed(record, reason), worker=worker
        )
        await self._reporter.tell_unreported(worker=worker)
        await self._reporter.told(TOLD_SECONDS)

    async def _owned(
        self, owner: Owner, task_id: str, agent: str = "", *, history: int | None = None
    ) -> StoredTask:
        stored = await self._store.whole(task_id, owner, history=history)
        if stored is None or (agent and stored.record.agent_id != agent):
            raise TaskNotFound(f"task not found: {task_id!r}")
        return stored

    async def _new(self, sent: Sent) -> Begun:
        hosting = await self._intake.addressee(sent)
        accepted = self._intake.accept(sent, hosting)
        now = moment(self._clock.now())
        task_id = str(self._ids.new())
        context_id = sent.context_id or str(self._ids.new())
        message: JsonObject = {**sent.message, "taskId": task_id, "contextId": context_id}
        head: JsonObject = {
            "id": task_id,
            "contextId": context_id,
            "status": {"state": TaskState.SUBMITTED.value, "timestamp": timestamp(now)},
            "metadata": {AGENT_ID: hosting.agent_id, **accepted.kept},
        }
        record = TaskRecord(
            task_id=task_id,
            owner=sent.owner,
            agent_id=hosting.agent_id,
            context_id=context_id,
            state=TaskState.SUBMITTED,
            version=1,
            body=head,
            created_at=now,
            updated_at=now,
            lease_owner=self._desk.worker,
            lease_until=now + self._desk.lease,
        )
        snapshot = TaskSnapshot(head=head, version=1, history=[message])
        first = numbered(1, {TASK: snapshot.rendered()})
        stored = jsonvalue.dumps(message)
        key = None if hosting.repeats else sent.key
        if await self._store.begin(record, key=key, message=stored, event=first.body):
            turn = self._start(record, snapshot, accepted, message)
            self._signals.announce(task_id)
            return Begun(record, snapshot, turn)
        known = await self._store.said(sent.key)
        if known is None:
            raise Conflict("the message's task has just been deleted", hint="send it again")
        again = await self._owned(sent.owner, known.task_id)
        return Begun(again.record, again.snapshot)

    async def _continued(self, accepted: Accepted, stored: StoredTask) -> Begun | None:
        """A new turn of a task that waits for its client; None when somebody was faster."""
        record, snapshot, sent = stored.record, stored.snapshot, accepted.sent
        now = moment(self._clock.now())
        key = None if accepted.hosting.repeats else sent.key
        message: JsonObject = {
            **sent.message,
            "taskId": record.task_id,
            "contextId": record.context_id,
        }
        event = status_event(record.body, TaskState.WORKING, now)
        said = Row(seq=record.version + 1, name=key, body=jsonvalue.dumps(message))
        snapshot.history.append(message)
        snapshot.apply(event)
        changed = replace(
            record,
            state=TaskState.WORKING,
            version=record.version + 1,
            body=snapshot.head,
            updated_at=now,
            lease_owner=self._desk.worker,
            lease_until=now + self._desk.lease,
        )
        change = Change(record=changed, events=[numbered(changed.version, event)], messages=[said])
        if not await self._store.append(change):
            return None
        if feed := self._feeds.find(record.task_id):
            feed.tell(change.events)
        self._signals.announce(record.task_id)
        return Begun(changed, snapshot, self._start(changed, snapshot, accepted, message))

    def _start(
        self, record: TaskRecord, snapshot: TaskSnapshot, accepted: Accepted, message: JsonObject
    ) -> Turn:
        inbound = self._intake.message(accepted, record.task_id, message)
        return self._turns.start(
            record, snapshot, accepted.hosting, inbound, seconds=accepted.seconds
        )

    async def _turn_over(self, record: TaskRecord, seconds: float | None = None) -> None:
        """Wait until the task does not run any more, at most as long as a sender may wait."""
        wait = self._config.blocking_seconds if seconds is None else seconds
        await _within(wait, self._until_over(record))

    async def _until_over(self, record: TaskRecord) -> None:
        if record.state not in RUNNING:
            return
        async with aclosing(self.follow(record, record.version)) as events:
            async for _ in events:
                pass

    async def _cancelled(self, stored: StoredTask) -> bool:
        """Write the end of a task that does not run here; whether nobody was faster."""
        record, now = stored.record, moment(self._clock.now())
        event = status_event(record.body, TaskState.CANCELED, now)
        change = self._ending(record, event, now)
        if not await self._store.append(change):
            return False
        if feed := self._feeds.find(record.task_id):
            feed.tell(change.events)
        self._signals.announce(record.task_id)
        if record.lease_owner in {None, self._desk.worker}:
            self._reporter.ended(change.record)
        else:
            self._reporter.count(change.record)
        return True

    def _lost(self, record: TaskRecord) -> Change:
        return self._failed(record, "the process that ran this task was lost")

    def _failed(self, record: TaskRecord, reason: str) -> Change:
        now = moment(self._clock.now())
        said = agent_message(
            str(self._ids.new()), record.task_id, record.context_id, [{"text": reason}]
        )
        change = self._ending(
            record, status_event(record.body, TaskState.FAILED, now, said), now, said
        )
        self._reporter.count(change.record)
        return change

    def _ending(
        self, record: TaskRecord, event: JsonObject, now: datetime, said: JsonObject | None = None
    ) -> Change:
        told = numbered(record.version + 1, event)
        snapshot = TaskSnapshot(head=record.body, version=record.version)
        snapshot.apply(event)
        state = told.state or record.state
        rows = [] if said is None else [Row(seq=told.seq, name=None, body=jsonvalue.dumps(said))]
        ended = replace(record, state=state, version=told.seq, body=snapshot.head, updated_at=now)
        return Change(record=ended, events=[told], messages=rows)

    def _tail(self, record: TaskRecord, feed: Feed) -> None:
        """See to it that the feed hears what other processes write to the task."""
        if not feed.tailed and not feed.local and record.state not in TERMINAL:
            feed.tailed = True
            self._desk.supervisor.spawn(f"tail {record.task_id}", self._tailed(record, feed))

    async def _tailed(self, record: TaskRecord, feed: Feed) -> None:
        quiet = 0
        while feed.holders and not feed.gone:
            await _within(self._config.follow_seconds, feed.poked.wait())
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

    async def _renew(self) -> None:
        ids = [turn.live.run.task_id for turn in self._turns]
        if ids:
            until = self._clock.now() + self._desk.lease
            self._compare(await self._store.renew(self._desk.worker, ids, until), ids)

    async def _look(self) -> None:
        ids = [turn.live.run.task_id for turn in self._turns]
        if ids:
            self._compare(await self._store.versions(ids), ids)

    def _compare(self, versions: dict[str, int], ids: list[str]) -> None:
        """Look at the tasks of this process that somebody else may have written to."""
        for task_id in ids:
            turn = self._turns.find(task_id)
            if turn and versions.get(task_id, -1) != turn.journal.record.version:
                self._desk.supervisor.spawn(f"look {task_id}", self._turns.look(turn))


async def _within(seconds: float, waiting: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting


def _check_open(record: TaskRecord) -> None:
    if record.state in TERMINAL:
        raise UnsupportedOperation(
            f"the task {record.task_id} has ended: {record.state}",
            hint="send the message without a taskId; its contextId keeps the context",
        )
