from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import postgresql

from agentcore.a2a_protocol.models.task import Owner, TaskFilter, TaskRecord, TaskState
from agentcore.a2a_protocol.tasks.snapshot import numbered, status_event
from agentcore.a2a_protocol.tasks.store import (
    PAGE_BYTES,
    TaskPage,
    VersionedTaskStore,
    ended_logged,
    rested,
)
from agentcore.a2a_protocol.tasks.writes.store import Beginning, Change, Row
from agentcore.kit.db import Database
from tests.fakes.a2a_tasks import ALICE, BOB, EVE, NOW, WORKER, begin, record


@pytest.fixture
def store(database: Database) -> VersionedTaskStore:
    return VersionedTaskStore(database)


def change(before: TaskRecord, state: TaskState = TaskState.WORKING, **members: object) -> Change:
    event = status_event(before.body, state, NOW)
    after = replace(before, version=before.version + 1, state=state)
    made = Change(record=after, events=[numbered(after.version, event)])
    return replace(made, **members)  # type: ignore[arg-type]  # named by each test


def row(seq: int, name: str | None, body: str) -> Row:
    return Row(seq=seq, name=name, body=body.encode())


async def test_a_task_comes_back_with_all_that_belongs_to_it(store: VersionedTaskStore) -> None:
    task = await begin(store)
    assert await store.get("t1", ALICE) == await store.peek("t1") == task
    said = row(2, None, '{"messageId":"m1","parts":[{"text":"\\u0000 stays escaped"}]}')
    made = [row(2, "x", '{"artifactId":"x","parts":[{"text":"a"}]}')]
    assert await store.append(change(task, messages=[said], artifacts=made))
    stored = await store.whole("t1", ALICE)
    assert stored is not None
    assert stored.record.version == stored.snapshot.version == 2
    assert [each["messageId"] for each in stored.snapshot.history] == ["m0", "m1"]
    assert stored.snapshot.artifacts["x"]["parts"] == [{"text": "a"}]
    few = await store.whole("t1", ALICE, history=0, artifacts=False)
    assert few is not None
    assert ([each["messageId"] for each in few.snapshot.history], few.snapshot.artifacts) == (
        ["m1"],
        {},
    )


@pytest.mark.parametrize("stranger", [BOB, EVE])
async def test_a_task_is_its_owners_alone(store: VersionedTaskStore, stranger: Owner) -> None:
    await begin(store)
    assert await store.get("t1", stranger) is None
    assert await store.whole("t1", stranger) is None
    assert await store.page(stranger, TaskFilter()) == TaskPage([], 0, more=False)


async def test_of_two_writers_of_one_version_the_second_changes_nothing(
    store: VersionedTaskStore,
) -> None:
    task = await begin(store)
    late = row(2, "x", '{"artifactId":"x"}')
    assert await store.append(change(task))
    assert not await store.append(change(task, TaskState.FAILED, artifacts=[late]))
    stored = await store.whole("t1", ALICE)
    assert stored is not None
    assert (stored.record.state, stored.snapshot.artifacts) == (TaskState.WORKING, {})
    assert [event.seq for event in await store.events("t1", 0)] == [1, 2]


async def test_a_message_begins_one_task_however_often_it_comes(store: VersionedTaskStore) -> None:
    await begin(store, key="k1")
    again = Beginning(record=record("t2"), key="k1", message=b"{}", event=b"{}")
    assert not await store.begin(again)
    assert await store.peek("t2") is None
    assert await store.events("t2", 0) == []
    found = await store.said("k1")
    assert found is not None
    assert found.task_id == "t1"
    assert await store.said("k2") is None
    assert await store.begin(replace(again, key="k2"))


async def test_an_artifact_that_is_replaced_loses_its_rows(store: VersionedTaskStore) -> None:
    task = await begin(store)
    rows = [row(2, "x", '{"artifactId":"x","parts":[{"text":"old"}]}')]
    assert await store.append(change(task, artifacts=rows))
    task = replace(task, version=2)
    rows = [row(3, "x", '{"artifactId":"x","parts":[{"text":"new"}]}')]
    assert await store.append(change(task, artifacts=rows, replaced=["x"]))
    stored = await store.whole("t1", ALICE)
    assert stored is not None
    assert stored.snapshot.artifacts["x"]["parts"] == [{"text": "new"}]


async def test_the_log_is_read_in_order_from_anywhere(store: VersionedTaskStore) -> None:
    task = await begin(store)
    for version in range(1, 5):
        assert await store.append(change(replace(task, version=version)))
    assert [event.seq for event in await store.events("t1", 2)] == [3, 4, 5]
    assert [event.seq for event in await store.events("t1", 0, 2)] == [1, 2]
    assert [event.state for event in await store.events("t1", 4)] == [TaskState.WORKING]


async def test_pages_are_newest_first_and_do_not_overlap(store: VersionedTaskStore) -> None:
    for number in range(5):
        moment = NOW + timedelta(seconds=number // 2)
        await begin(store, record(f"t{number}", created_at=moment))
    assert await pages(store, TaskFilter(limit=2)) == [["t4", "t3"], ["t2", "t1"], ["t0"]]


async def pages(store: VersionedTaskStore, asked: TaskFilter) -> list[list[str]]:
    found: list[list[str]] = []
    while True:
        page = await store.page(ALICE, asked)
        assert page.total == 5
        found.append([stored.record.task_id for stored in page.tasks])
        if not page.more:
            return found
        last = page.tasks[-1].record
        asked = replace(asked, after=(last.updated_at, last.task_id))


async def test_a_page_is_no_larger_than_one_answer_may_be(store: VersionedTaskStore) -> None:
    text = "x" * (PAGE_BYTES * 3 // 8)
    for number in range(5):
        await begin(store, record(f"t{number}", created_at=NOW + timedelta(seconds=number)))
    for number in (0, 3):
        body = f'{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"{text}"}}]}}'.encode()
        said = [Row(seq=seq, name=None, body=body) for seq in (2, 3)]
        head = record(f"t{number}", version=3, created_at=NOW + timedelta(seconds=number))
        events = [numbered(seq, status_event(head.body, TaskState.WORKING, NOW)) for seq in (2, 3)]
        moved = replace(head, updated_at=NOW + timedelta(seconds=number))
        assert await store.append(Change(record=moved, events=events, messages=said))
    assert await pages(store, TaskFilter()) == [["t4", "t3", "t2", "t1"], ["t0"]]
    assert await pages(store, TaskFilter(history=0)) == [["t4", "t3", "t2", "t1", "t0"]]


async def test_filters(store: VersionedTaskStore) -> None:
    await begin(store, record("t1", context_id="other"))
    await begin(store, record("t2", state=TaskState.COMPLETED, agent_id="second"))
    await begin(store, record("t3", created_at=NOW + timedelta(hours=1)))

    async def ids(**wanted: object) -> set[str]:
        asked = TaskFilter(**wanted)  # type: ignore[arg-type]  # named by each case
        return {stored.record.task_id for stored in (await store.page(ALICE, asked)).tasks}

    assert await ids(context_id="other") == {"t1"}
    assert await ids(agent_id="second") == {"t2"}
    assert await ids(state=TaskState.COMPLETED) == {"t2"}
    assert await ids(updated_since=NOW + timedelta(minutes=1)) == {"t3"}
    assert await ids() == {"t1", "t2", "t3"}


async def test_leases_are_renewed_by_who_holds_them(store: VersionedTaskStore) -> None:
    later = NOW + timedelta(hours=1)
    await begin(store, record("mine"))
    await begin(store, record("ended", state=TaskState.CANCELED))
    await begin(store, record("theirs", lease_owner="w2"))
    await begin(store, record("told", state=TaskState.CANCELED))
    await store.reported("told")
    ids = ["mine", "ended", "told", "theirs", "nothing"]
    assert await store.renew(WORKER, ids, later) == {"mine": 1, "ended": 1}
    renewed = await store.peek("mine")
    assert renewed is not None
    assert renewed.lease_until == later
    assert await store.versions(ids) == {"mine": 1, "ended": 1, "told": 1, "theirs": 1}


async def test_lost_tasks_are_failed_and_claimed_once(store: VersionedTaskStore) -> None:
    def failed(lost: TaskRecord) -> Change:
        return change(lost, TaskState.FAILED)

    await begin(store, record("lost"))
    await begin(store, record("alive", lease_until=NOW + timedelta(hours=2)))
    waiting = record("waiting", state=TaskState.INPUT_REQUIRED, lease_owner=None, lease_until=None)
    await begin(store, waiting)
    late = NOW + timedelta(hours=1)
    assert await store.lost(NOW, failed) == []
    later = late + timedelta(hours=1)
    assert await store.claim("w2", NOW, late) == []
    assert await store.lost(late, failed) == ["lost"]
    assert [event.state for event in await store.events("lost", 1)] == [TaskState.FAILED]
    claimed = await store.claim("w2", late, later)
    assert [(each.task_id, each.lease_owner) for each in claimed] == [("lost", "w2")]
    assert await store.claim("w3", late, later) == []
    assert await store.claim("w3", late, later, task_id="lost") == []
    assert await store.lost(late, failed, worker=WORKER) == ["alive"]


async def test_an_end_is_its_workers_until_the_lease_is_over(store: VersionedTaskStore) -> None:
    async def claimed(worker: str, now: datetime = NOW, **which: object) -> list[str]:
        until = now + timedelta(minutes=1)
        found = await store.claim(worker, now, until, **which)  # type: ignore[arg-type]  # named by each case
        return sorted(each.task_id for each in found)

    await begin(store, record("t1", state=TaskState.COMPLETED))
    assert await claimed("w2", mine=True) == await claimed(WORKER) == []
    assert await claimed(WORKER, mine=True) == await claimed(WORKER, task_id="t1") == ["t1"]
    await begin(store, record("t2", state=TaskState.CANCELED, lease_until=None))
    assert await claimed("w2") == ["t2"]
    assert await claimed("w3", NOW + timedelta(hours=1)) == ["t1", "t2"], "nobody has told them"
    assert len(await claimed("w4", NOW + timedelta(hours=2), limit=1)) == 1
    for task_id in ("t1", "t2"):
        await store.reported(task_id)
    assert await claimed("w4", NOW + timedelta(hours=3)) == []


async def test_old_tasks_go_and_so_do_the_logs_of_ended_ones(store: VersionedTaskStore) -> None:
    hour = timedelta(hours=1)
    await begin(store, record("old", state=TaskState.COMPLETED, created_at=NOW - 9 * hour), "k")
    await begin(store, record("asked", state=TaskState.INPUT_REQUIRED, created_at=NOW - 9 * hour))
    await begin(store, record("running", created_at=NOW - 9 * hour))
    await begin(store, record("rests", state=TaskState.COMPLETED, created_at=NOW - 2 * hour))
    await begin(store, record("waits", state=TaskState.INPUT_REQUIRED, created_at=NOW - 2 * hour))
    await begin(store, record("fresh", state=TaskState.COMPLETED))
    while await store.prune(tasks_before=NOW - 8 * hour, events_before=NOW - hour):
        pass
    kept = {stored.record.task_id for stored in (await store.page(ALICE, TaskFilter())).tasks}
    assert kept == {"running", "rests", "waits", "fresh"}
    logs = {name for name in (*kept, "old") if await store.events(name, 0)}
    assert logs == {"running", "waits", "fresh"}
    assert await store.said("k") is None


@pytest.mark.parametrize(
    ("query", "index"),
    [(rested(NOW), "ix_tasks_updated_at"), (ended_logged(NOW), "ix_tasks_ended_logged")],
    ids=["rested", "ended_logged"],
)
async def test_what_is_to_go_is_found_by_an_index(
    database: Database, query: Select[tuple[str]], index: str
) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
    asked = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    async with database.begin() as connection:
        # Of an empty table the database would rather read all.
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        found = await connection.execute(text(f"EXPLAIN {asked}".replace(":", r"\:")))
        plan = "\n".join(found.scalars())
    assert f"Index Scan using {index} on tasks" in plan
    assert "Sort" not in plan


async def test_a_log_is_let_go_once(store: VersionedTaskStore, database: Database) -> None:
    await begin(store, record(state=TaskState.COMPLETED))
    later = NOW + timedelta(hours=1)
    for expected in (1, 0):
        assert await store.prune(tasks_before=NOW, events_before=later) == expected
    assert await store.events("t1", 0) == []
