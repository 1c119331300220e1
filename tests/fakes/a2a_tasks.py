"""A task under way on the real store, for the tests of what works on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from agentcore.a2a_protocol.models.task import Owner, TaskRecord, TaskState
from agentcore.a2a_protocol.tasks.feeds import Feed
from agentcore.a2a_protocol.tasks.journal import Desk, TaskJournal
from agentcore.a2a_protocol.tasks.snapshot import TASK, TaskSnapshot, numbered
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import Beginning, Change
from agentcore.kit.clock import Clock, SystemClock
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Owner(tenant="acme", subject="alice")
BOB = Owner(tenant="acme", subject="bob")
EVE = Owner(tenant="evil", subject="alice")
WORKER = "worker-1"


def record(task_id: str = "t1", owner: Owner = ALICE, **changes: object) -> TaskRecord:
    made = TaskRecord(
        task_id=task_id,
        owner=owner,
        agent_id="poet",
        context_id="c1",
        state=TaskState.WORKING,
        version=1,
        body={
            "id": task_id,
            "contextId": "c1",
            "status": {"state": "TASK_STATE_WORKING"},
            "metadata": {"agentId": "poet"},
        },
        created_at=NOW,
        updated_at=NOW,
        lease_owner=WORKER,
        lease_until=NOW + timedelta(seconds=30),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # named by each test


async def begin(
    store: VersionedTaskStore, made: TaskRecord | None = None, key: str | None = None
) -> TaskRecord:
    """Store the task with a first message of ``m0``."""
    made = made or record()
    body = numbered(1, {TASK: made.body}).body
    message = b'{"messageId":"m0","role":"ROLE_USER","parts":[{"text":"hello"}]}'
    assert await store.begin(Beginning(record=made, key=key, message=message, event=body))
    return made


@dataclass
class Watched:
    """The owner of a journal, and what it was told."""

    records: list[TaskRecord] = field(default_factory=list)
    lost: int = 0

    def committed(self, record: TaskRecord) -> None:
        self.records.append(record)

    def overtaken(self) -> None:
        self.lost += 1


class CountingStore(VersionedTaskStore):
    """Counts writes; ``before`` each of them something else may happen."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.writes = 0
        self.faults: list[Exception] = []
        self.hide_next = False

    async def append(self, change: Change) -> bool:
        self.writes += 1
        if self.faults:
            raise self.faults.pop()
        written = await super().append(change)
        if self.hide_next:
            self.hide_next = False
            return False
        return written


@dataclass
class Desktop:
    store: CountingStore
    journal: TaskJournal
    feed: Feed
    owner: Watched


def desk_of(
    store: VersionedTaskStore, supervisor: Supervisor, clock: Clock, flush_seconds: float = 0.0
) -> Desk:
    return Desk(
        store=store,
        clock=clock,
        supervisor=supervisor,
        worker=WORKER,
        lease=timedelta(seconds=30),
        flush_seconds=flush_seconds,
    )


@asynccontextmanager
async def journal_of(
    database: Database, *, flush_seconds: float = 0.0, made: TaskRecord | None = None
) -> AsyncIterator[Desktop]:
    """A journal of a task that is stored."""
    store, owner = CountingStore(database), Watched()
    made = await begin(store, made)
    async with Supervisor() as supervisor:
        desk = desk_of(store, supervisor, SystemClock(), flush_seconds)
        feed = Feed(1)
        message: JsonObject = {"messageId": "m0", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
        snapshot = TaskSnapshot(head=made.body, version=1, history=[message])
        journal = TaskJournal(made, snapshot, desk=desk, feed=feed, owner=owner)
        yield Desktop(store, journal, feed, owner)
        journal.close()
