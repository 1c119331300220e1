"""Tasks: begun by messages, worked on by hosted agents, cancelled from any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from decimal import Decimal

from agentcore.a2a_protocol.errors import (
    InvalidParams,
    TaskNotCancelable,
    TaskNotFound,
)
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import (
    RUNNING,
    TERMINAL,
    Owner,
    TaskFilter,
    TaskRecord,
    TaskState,
)
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.ports import InboundMessage, TaskOutcome
from agentcore.a2a_protocol.tasks.admission import check_going_on, check_new, check_open
from agentcore.a2a_protocol.tasks.content import agent_message, part_json
from agentcore.a2a_protocol.tasks.endings import cancelled
from agentcore.a2a_protocol.tasks.following import Followers
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
from agentcore.a2a_protocol.tasks.store import StoredTask, TaskPage
from agentcore.a2a_protocol.tasks.turns import Turn, Turns, Verdict
from agentcore.a2a_protocol.tasks.writes.store import Beginning, Change, Row
from agentcore.kit import jsonvalue
from agentcore.kit.errors import Conflict
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject

# Where a task says in its metadata which agent it belongs to; the names of the wire are camelCase.
AGENT_ID = "agentId"
# How often a write that others keep overtaking is tried.
TRIES = 10


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
        followers: Followers,
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
        self._followers = followers
        self._reporter = reporter
        self._signals = signals
        self._intake = intake
        self._config = config
        self._ids = ids

    async def send(self, sent: Sent) -> Begun:
        """Store the message and let its agent work on it.

        A message that was sent before leads to the task that it led to then. One to a task that is
        worked on waits for the end of that turn, and with others for its own; as long as a blocking
        send, all in all.

        Raises:
            Conflict: its turn did not come in that time.
            TaskNotFound: it names a task that is not there, or not its sender's.
            UnsupportedOperation: the task that it names has ended.
            InvalidParams: it names another context than its task's, or no agent of this service.
            AgentNotAccepting: the agent drains, or is out of service.
        """
        if not sent.task_id:
            return await self._new(sent)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.blocking_seconds
        while True:
            stored = await self._owned(sent.owner, sent.task_id, sent.agent)
            hosting = await self._intake.addressee(sent, stored.record.agent_id)
            if not hosting.repeats and await self._store.said(sent.key) is not None:
                return Begun(stored.record, stored.snapshot)
            if sent.context_id and sent.context_id != stored.record.context_id:
                raise InvalidParams(
                    f"the task {sent.task_id} is of another context than {sent.context_id!r}",
                    hint="leave contextId out: the task knows it",
                )
            check_open(stored.record)
            if (left := until - loop.time()) <= 0:
                raise Conflict(
                    f"the task {sent.task_id} is worked on, or others' messages come first",
                    hint="send the message again, as it is: it is taken once",
                )
            if stored.record.state in RUNNING:
                await self._turn_over(stored.record, seconds=left)
            elif begun := await self._continued(
                self._intake.accept(sent, hosting, sent.task_id, stored.record.body), stored
            ):
                return begun

    async def reply(self, sent: Sent) -> JsonObject | None:
        """The message by which an agent answers without a task; None where it takes one."""
        hosting = None if sent.task_id else await self._intake.addressee(sent)
        if hosting is None or hosting.reply is None:
            return None
        context_id = sent.context_id or str(self._ids.new())
        message: JsonObject = {**sent.message, "contextId": context_id}
        seconds = self._config.blocking_seconds
        accepted = replace(self._intake.accept(sent, hosting, ""), seconds=seconds)
        inbound = self._intake.message(accepted, "", message)
        said = await hosting.reply(inbound)
        if said is None:
            return None
        answer = agent_message(str(self._ids.new()), "", context_id, [part_json(said)])
        return {name: value for name, value in answer.items() if name != "taskId"}

    async def settled(self, begun: Begun, seconds: float | None = None) -> TaskSnapshot:
        """The task when its turn has ended, or as it stands after that time.

        None is the time that a blocking send waits.
        """
        seconds = self._config.blocking_seconds if seconds is None else seconds
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

    def inbound(self, task_id: str) -> tuple[InboundMessage, Decimal] | None:
        """What an agent of this process is at work on in that task, and what that has cost."""
        turn = self._turns.find(task_id)
        if turn is None:
            return None
        return turn.message, turn.live.run.cost_usd or Decimal(0)

    def outcome(self, begun: Begun) -> TaskOutcome | None:
        """How the task has ended that was begun here; None where it has not, or not here."""
        turn = begun.turn
        if turn is None or turn.journal.overtaken or turn.journal.record.state not in TERMINAL:
            return None
        return self._reporter.outcome(turn.journal.record, turn.live.run)

    def charge(self, task_id: str, cost_usd: Decimal) -> None:
        """Count what another task has cost on the budget of the one that it worked for."""
        if turn := self._turns.find(task_id):
            turn.live.run.others_usd += cost_usd

    async def find(self, owner: Owner, task_id: str, agent: str = "") -> StoredTask:
        return await self._owned(owner, task_id, agent)

    async def known(self, sent: Sent) -> Begun | None:
        """The task that the message led to when it was sent before."""
        record = await self._store.said(sent.key)
        stored = record and await self._store.whole(record.task_id, sent.owner)
        return Begun(stored.record, stored.snapshot) if stored else None

    async def page(self, owner: Owner, wanted: TaskFilter) -> TaskPage:
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
            # A task that waits for its client is nobody's, even where its agent takes its leave.
            if turn is not None and stored.record.state in RUNNING:
                await turn.live.settled.wait()
            elif not await self._cancelled(stored):
                continue
            ended = await self._owned(owner, task_id, agent)
            if ended.record.state is TaskState.CANCELED:
                return ended.snapshot.rendered()
        raise TaskNotCancelable(f"the task {task_id} could not be stopped before its end")

    async def _owned(
        self, owner: Owner, task_id: str, agent: str = "", *, history: int | None = None
    ) -> StoredTask:
        stored = await self._store.whole(task_id, owner, history=history)
        if stored is None or (agent and stored.record.agent_id != agent):
            raise TaskNotFound(f"task not found: {task_id!r}")
        return stored

    async def _new(self, sent: Sent) -> Begun:
        hosting = await self._intake.addressee(sent)
        now = moment(self._clock.now())
        task_id = str(self._ids.new())
        accepted = self._intake.accept(sent, hosting, task_id)
        context_id = sent.context_id or str(self._ids.new())
        message: JsonObject = {**sent.message, "taskId": task_id, "contextId": context_id}
        metadata: JsonObject = {AGENT_ID: hosting.agent_id, **accepted.kept}
        head: JsonObject = {
            "id": task_id,
            "contextId": context_id,
            "status": {"state": TaskState.SUBMITTED.value, "timestamp": timestamp(now)},
            "metadata": metadata,
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
        new = Beginning(
            record=record,
            key=None if hosting.repeats else sent.key,
            message=jsonvalue.dumps(message),
            event=first.body,
        )
        if not await self._store.begin(new):
            known = await (self._store.said(new.key) if new.key else self._store.peek(task_id))
            if known is None:
                await check_new(self._store, record)
                raise Conflict("the message's task has just been deleted", hint="send it again")
            # A commit whose answer was lost has begun this very task.
            if known.task_id != task_id:
                again = await self._owned(sent.owner, known.task_id)
                return Begun(again.record, again.snapshot)
        accepted = await self._intake.began(record, accepted)
        # Written with the next event, before which nobody can ask on the task's behalf.
        metadata.update(accepted.kept)
        turn = self._start(record, snapshot, accepted, message)
        self._signals.announce(task_id)
        return Begun(record, snapshot, turn)

    async def _continued(self, accepted: Accepted, stored: StoredTask) -> Begun | None:
        """A new turn of a task that waits for its client; None when somebody was faster."""
        record, snapshot, sent = stored.record, stored.snapshot, accepted.sent
        await check_going_on(self._store, record)
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
        self._followers.tell(record.task_id, change.events)
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
        async with aclosing(self._followers.follow(record, record.version)) as events:
            async for _ in events:
                pass

    async def _cancelled(self, stored: StoredTask) -> bool:
        """Write the end of a task that does not run here; whether nobody was faster."""
        record, now = stored.record, moment(self._clock.now())
        if record.lease_owner is None:
            # Until its end has been told it is ours.
            until, worker = now + self._desk.lease, self._desk.worker
            record = replace(record, lease_owner=worker, lease_until=until)
        change = cancelled(record, now)
        if not await self._store.append(change):
            return False
        self._followers.tell(record.task_id, change.events)
        self._signals.announce(record.task_id)
        if record.lease_owner == self._desk.worker:
            self._reporter.ended(change.record)
        else:
            self._reporter.count(change.record)
        return True


async def _within(seconds: float, waiting: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting
