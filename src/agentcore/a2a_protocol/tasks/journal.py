"""What an agent says in one turn, on its way into the log and to those who follow.

Events are stored in the order in which they were said, several in one write: while one write is
under way the next gathers, and chunks gather for a flush interval. Nobody sees an event before it
is stored, so nothing that a follower has seen can be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.models.task import (
    RUNNING,
    TERMINAL,
    TaskEvent,
    TaskRecord,
    TaskState,
    may_follow,
)
from agentcore.a2a_protocol.tasks.feeds import Feed
from agentcore.a2a_protocol.tasks.snapshot import (
    ARTIFACT,
    STATUS,
    TaskSnapshot,
    add_artifact,
    numbered,
    status_event,
)
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import Change, Row
from agentcore.kit import jsonvalue
from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.supervisor import Supervisor

# The first events of a turn come together: those of a quick answer are one write.
LINGER_SECONDS = 0.003
# An agent that talks faster than the database writes is made to wait.
MOST_WAITING = 512
AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the journals of one process are written with.

    ``flush_seconds`` lie between two writes of one task, but for those that end a turn.
    """

    store: VersionedTaskStore
    clock: Clock
    supervisor: Supervisor
    worker: str
    lease: timedelta
    flush_seconds: float


class JournalOwner(Protocol):
    def committed(self, record: TaskRecord) -> None:
        """Called after each write, with the task as it is now."""
        ...

    def overtaken(self) -> None:
        """Somebody else has ended the task, or taken it over: nothing more can be written."""
        ...


class TaskJournal:
    """Of one turn of one task. ``record`` and ``snapshot`` are what has been stored so far."""

    def __init__(
        self,
        stored: TaskRecord,
        snapshot: TaskSnapshot,
        *,
        desk: Desk,
        feed: Feed,
        owner: JournalOwner,
    ) -> None:
        self.record = stored
        self.snapshot = snapshot
        self.overtaken = False
        self._desk = desk
        self._feed = feed
        self._owner = owner
        self._state = stored.state
        self._waiting: list[JsonObject] = []
        self._known: set[str] = set(snapshot.artifacts)
        self._writing = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._last = -desk.flush_seconds
        self._due: asyncio.TimerHandle | None = None

    @property
    def state(self) -> TaskState:
        """Where what has been said leads, be it stored or not."""
        return self._state

    def say(self, event: JsonObject) -> None:
        """Store ``event`` soon.

        Raises:
            TaskEnded: the task has ended, or somebody else has ended it.
        """
        if self.overtaken or self._state in TERMINAL:
            raise TaskEnded(f"the task {self.record.task_id} has ended")
        if STATUS in event:
            state = TaskState(str(object_of(object_of(event[STATUS])["status"])["state"]))
            if not may_follow(self._state, state):
                raise TaskEnded(f"a task that is {self._state} cannot become {state}")
            self._state = state
        self._waiting.append(event)
        if len(self._waiting) >= MOST_WAITING:
            self._room.clear()
        if self._due is None:
            loop = asyncio.get_running_loop()
            rest = self._last + self._desk.flush_seconds - loop.time()
            self._due = loop.call_later(max(rest, LINGER_SECONDS), self._begin)

    async def note(self, notes: JsonObject) -> None:
        """Members of the task's metadata, stored when this returns.

        They go with the next event; where none is waiting, the state is said once more.
        """
        self.keep(notes)
        if not self._waiting:
            self.say(status_event(self.snapshot.head, self._state, self._desk.clock.now()))
        await self.flush()

    def keep(self, notes: JsonObject) -> None:
        """Members of the task's metadata, stored with the next event."""
        metadata = {**object_of(self.snapshot.head.get("metadata")), **notes}
        self.snapshot.head = {**self.snapshot.head, "metadata": metadata}

    async def room(self) -> None:
        """Wait while too much is waiting."""
        await self._room.wait()

    async def flush(self) -> None:
        """Return when all that was said is stored, or somebody else has ended the task.

        A caller that is cancelled meanwhile does not take the write with it.
        """
        name = f"write {self.record.task_id}"
        await asyncio.shield(self._desk.supervisor.spawn(name, self._write_all()))

    def close(self) -> None:
        """Nothing more is going to be written from here."""
        self.overtaken = True
        self._room.set()
        if self._due is not None:
            self._due.cancel()

    async def look(self) -> None:
        """Somebody else has written to this task: read what."""
        async with self._writing:
            if not self.overtaken and self.record.state in RUNNING:
                await self._overtake()

    def _begin(self) -> None:
        self._due = None
        self._desk.supervisor.spawn(f"write {self.record.task_id}", self._write_once())

    async def _write_all(self) -> None:
        async with self._writing:
            while self._waiting and not self.overtaken:
                await self._write()

    async def _write_once(self) -> None:
        async with self._writing:
            if self._waiting and not self.overtaken:
                await self._write()

    async def _write(self) -> None:
        said, self._waiting = self._waiting, []
        self._room.set()
        change = self._change(said)
        self._last = asyncio.get_running_loop().time()
        while not await self._appended(change):
            ours = await self._overtake(change.events)
            if self.overtaken:
                return
            if ours:
                break
            change = self._change(said)
        for event in said:
            self.snapshot.apply(event)
        self.record = change.record
        self._feed.tell(change.events)
        self._owner.committed(self.record)

    async def _appended(self, change: Change) -> bool:
        """Until the database takes it or refuses it: the agent's words are not dropped."""
        while not self.overtaken:
            try:
                return await self._desk.store.append(change)
            except StorageUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)
        return False

    async def _overtake(self, mine: Sequence[TaskEvent] = ()) -> bool:
        """Take in what another writer has stored; whether it was this one after all.

        A commit whose answer was lost looks like another writer's, but for its bytes.
        """
        theirs = await self._desk.store.events(self.record.task_id, self.record.version)
        if mine and [each.body for each in theirs[: len(mine)]] == [each.body for each in mine]:
            return True
        head = await self._desk.store.peek(self.record.task_id)
        for event in theirs:
            self.snapshot.apply(object_of(jsonvalue.loads(event.body)))
        self._feed.tell(theirs)
        if head is None or head.state in TERMINAL or head.lease_owner != self._desk.worker:
            self.close()
            self._owner.overtaken()
        if head is not None:
            self.record = head
        return False

    def _change(self, said: Sequence[JsonObject]) -> Change:
        events = [numbered(self.record.version + n, event) for n, event in enumerate(said, 1)]
        head, state = self.snapshot.head, self.record.state
        messages: list[Row] = []
        added: dict[str, tuple[int, JsonObject]] = {}
        replaced: list[str] = []
        for event, body in zip(events, said, strict=True):
            if ARTIFACT in body:
                self._gather(event.seq, object_of(body[ARTIFACT]), added, replaced)
            elif event.state is not None:
                status = object_of(object_of(body[STATUS])["status"])
                head, state = {**head, "status": status}, event.state
                if "message" in status:
                    said_row = jsonvalue.dumps(status["message"])
                    messages.append(Row(seq=event.seq, name=None, body=said_row))
        now = moment(self._desk.clock.now())
        return Change(
            record=self._leased(
                replace(
                    self.record,
                    state=state,
                    body=head,
                    version=self.record.version + len(events),
                    updated_at=now,
                ),
                now,
            ),
            events=events,
            messages=messages,
            artifacts=[
                Row(seq=seq, name=name, body=jsonvalue.dumps(artifact))
                for name, (seq, artifact) in added.items()
            ],
            replaced=replaced,
        )

    def _gather(
        self,
        seq: int,
        update: JsonObject,
        added: dict[str, tuple[int, JsonObject]],
        replaced: list[str],
    ) -> None:
        """Chunks of one artifact become one row."""
        artifact = object_of(update["artifact"])
        name, append = str(artifact["artifactId"]), update.get("append") is True
        if not append and (name in self._known or name in added):
            replaced.append(name)
        mine = {name: added[name][1]} if name in added else {}
        add_artifact(mine, artifact, append=append)
        added[name] = (added[name][0] if name in added else seq, mine[name])
        self._known.add(name)

    def _leased(self, record: TaskRecord, now: datetime) -> TaskRecord:
        """A running task has a lease; an ended one keeps it until its end has been told."""
        if record.state in RUNNING:
            until = now + self._desk.lease
            return replace(record, lease_owner=self._desk.worker, lease_until=until)
        if record.state in TERMINAL:
            return record
        return replace(record, lease_owner=None, lease_until=None)


def moment(now: datetime) -> datetime:
    """``now`` as the wire says it, so that what is listed by time is found by it."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
