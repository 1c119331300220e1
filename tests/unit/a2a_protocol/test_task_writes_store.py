from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks.snapshot import numbered, status_event
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import (
    Beginning,
    Change,
    append_all,
    append_within,
    begin_all,
)
from agentcore.kit.db import Database
from tests.fakes.a2a_tasks import NOW, record


def change(task_id: str, version: int) -> Change:
    before = record(task_id)
    event = status_event(before.body, TaskState.FAILED, NOW)
    after = replace(before, version=version, state=TaskState.FAILED)
    return Change(record=after, events=[numbered(version, event)])


async def test_each_write_tells_what_it_has_written(database: Database) -> None:
    new = [
        Beginning(record=record(name), key=key, message=b"{}", event=b"{}")
        for name, key in (("a", "k1"), ("b", "k1"), ("c", None), ("d", None))
    ]
    assert await begin_all(database, new) == {"a", "c", "d"}
    assert await begin_all(database, new) == set()
    assert change("a", 2).expected == 1
    changes = [change("a", 2), change("b", 2), change("c", 3)]
    assert await append_all(database, changes) == {"a"}


async def test_a_transaction_takes_its_writes_back(database: Database) -> None:
    new = Beginning(record=record("a"), key=None, message=b"{}", event=b"{}")
    assert await begin_all(database, [new])
    async with database.engine.connect() as connection:
        await append_within(connection, [change("a", 2)])
        await connection.run_sync(Connection.rollback)
    assert await VersionedTaskStore(database).versions(["a"]) == {"a": 1}
