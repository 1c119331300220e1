from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from agentcore.a2a_protocol.models.task import TaskFilter, TaskState
from agentcore.a2a_protocol.tasks.grouped import GroupedTaskStore
from agentcore.a2a_protocol.tasks.snapshot import numbered, status_event
from agentcore.a2a_protocol.tasks.writes.store import Beginning, Change, Row
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a_tasks import ALICE, NOW, record

MANY = 40


@pytest.fixture
def store(database: Database, supervisor: Supervisor) -> GroupedTaskStore:
    return GroupedTaskStore(database, supervisor)


def new(number: int, key: str | None = None) -> Beginning:
    message = b'{"messageId":"m","parts":[{"text":"%d"}]}' % number
    return Beginning(record=record(f"t{number}"), key=key, message=message, event=b"{}")


def next_of(number: int, *, text: str = "", version: int = 2) -> Change:
    before = record(f"t{number}")
    event = status_event(before.body, TaskState.COMPLETED, NOW)
    body = b'{"artifactId":"x","parts":[{"text":"%b%d"}]}' % (text.encode(), number)
    return Change(
        record=replace(before, version=version, state=TaskState.COMPLETED),
        events=[numbered(version, event)],
        artifacts=[Row(seq=version, name="x", body=body)],
        messages=[Row(seq=version, name=None, body=b'{"messageId":"a%d"}' % number)],
    )


async def test_tasks_that_begin_and_end_together_stay_apart(store: GroupedTaskStore) -> None:
    assert all(await asyncio.gather(*(store.begin(new(n)) for n in range(MANY))))
    changes = [next_of(n) for n in range(MANY)]
    stale = replace(changes[7], record=replace(changes[7].record, version=9))
    *written, refused = await asyncio.gather(*map(store.append, [*changes, stale]))
    assert (all(written), refused) == (True, False)
    for number in range(MANY):
        whole = await store.whole(f"t{number}", ALICE)
        assert whole is not None
        assert whole.record.state is TaskState.COMPLETED
        assert [each["messageId"] for each in whole.snapshot.history] == ["m", f"a{number}"]
        assert whole.snapshot.artifacts["x"]["parts"] == [{"text": str(number)}]
        assert [event.seq for event in await store.events(f"t{number}", 0)] == [1, 2]


async def test_of_one_message_sent_many_times_one_begins(store: GroupedTaskStore) -> None:
    begun = await asyncio.gather(*(store.begin(new(n, "the same")) for n in range(MANY)))
    assert begun.count(True) == 1
    assert (await store.page(ALICE, TaskFilter())).total == 1


async def test_a_task_that_cannot_be_stored_takes_no_other_along(store: GroupedTaskStore) -> None:
    assert all(await asyncio.gather(*(store.begin(new(n)) for n in range(6))))
    changes = [next_of(n, text="\0" if n == 4 else "") for n in range(6)]
    found = await asyncio.gather(*map(store.append, changes), return_exceptions=True)
    assert [isinstance(each, DBAPIError) or each for each in found] == [True] * 6
    assert isinstance(found[4], DBAPIError)
    assert (await store.versions([f"t{n}" for n in range(6)]))["t4"] == 1


async def test_a_write_that_is_repeated_changes_nothing(store: GroupedTaskStore) -> None:
    """What happens where the answer to a commit was lost."""
    assert [await store.begin(new(1, "k")), await store.begin(new(1, "k"))] == [True, False]
    assert [await store.append(next_of(1)), await store.append(next_of(1))] == [True, False]
    assert len(await store.events("t1", 0)) == 2
