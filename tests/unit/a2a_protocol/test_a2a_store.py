from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentcore.a2a_protocol.errors import AgentIdTaken
from agentcore.a2a_protocol.models.agent_card import AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner, TaskFilter, TaskRecord, TaskState
from agentcore.a2a_protocol.store import AgentStore, TaskRows, Written
from agentcore.kit.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Owner(tenant="acme", subject="alice")
BOB = Owner(tenant="acme", subject="bob")
EVE = Owner(tenant="evil", subject="alice")


def task(task_id: str = "t1", owner: Owner = ALICE, **changes: object) -> TaskRecord:
    record = TaskRecord(
        task_id=task_id,
        owner=owner,
        agent_id="a",
        context_id="c",
        state=TaskState.WORKING,
        version=1,
        body={"id": task_id, "n": [1, None, "ü"]},
        created_at=NOW,
        updated_at=NOW,
        lease_owner="w1",
        lease_until=NOW + timedelta(seconds=30),
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # named by each test


def agent(agent_id: str = "a1", owner: Owner = ALICE, **changes: object) -> AgentRecord:
    record = AgentRecord(
        agent_id=agent_id,
        owner=owner,
        name="A",
        version="1",
        status=AgentStatus.ACTIVE,
        description="d",
        capabilities=("x", "y"),
        skills=({"id": "s"},),
        created_at=NOW,
        updated_at=NOW,
        last_seen=NOW,
        endpoint={"url": "http://a"},
        card={"name": "A"},
        metadata={"k": 1},
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # named by each test


@pytest.fixture
def rows(database: Database) -> TaskRows:
    return TaskRows(database)


@pytest.fixture
def agents(database: Database) -> AgentStore:
    return AgentStore(database)


async def test_a_task_comes_back_as_it_was_written(rows: TaskRows) -> None:
    assert await rows.insert(task())
    assert await rows.get("t1", ALICE) == task()
    assert await rows.peek("t1") == task()


@pytest.mark.parametrize("stranger", [BOB, EVE])
async def test_a_task_is_its_owners_alone(rows: TaskRows, stranger: Owner) -> None:
    await rows.insert(task())
    assert await rows.get("t1", stranger) is None
    assert (await rows.page(stranger, TaskFilter())) == ([], 0)
    assert await rows.update(task(owner=stranger, version=2)) is None
    assert await rows.cancel(task(owner=stranger, state=TaskState.CANCELED)) is None
    await rows.delete("t1", stranger)
    assert not await rows.insert(task(owner=stranger))
    assert await rows.get("t1", ALICE) == task()


async def test_a_write_from_an_old_version_is_refused(rows: TaskRows) -> None:
    await rows.insert(task())
    assert await rows.update(task(version=2)) == Written(version=2, worker="w1")
    assert await rows.update(task(version=2, body={"lost": True})) is None
    assert await rows.update(task(version=4)) is None


async def test_a_cancellation_overtakes_writes_but_no_end(rows: TaskRows) -> None:
    await rows.insert(task())
    await rows.update(task(version=2))
    late = task(version=2, state=TaskState.CANCELED, lease_owner=None, lease_until=None)
    assert await rows.cancel(late) == Written(version=3, worker="w1")
    assert await rows.cancel(late) is None
    assert await rows.cancel(replace(late, task_id="t2")) is None


async def test_pages_are_newest_first_and_do_not_overlap(rows: TaskRows) -> None:
    for number in range(5):
        moment = NOW + timedelta(seconds=number // 2)
        await rows.insert(task(f"t{number}", updated_at=moment))
    found: list[str] = []
    after: tuple[datetime, str] | None = None
    while True:
        page, total = await rows.page(ALICE, TaskFilter(limit=2, after=after))
        assert total == 5
        if not page:
            break
        found += [record.task_id for record in page]
        after = (page[-1].updated_at, page[-1].task_id)
    assert found == ["t4", "t3", "t2", "t1", "t0"]


async def test_filters(rows: TaskRows) -> None:
    await rows.insert(task("t1", context_id="other"))
    await rows.insert(task("t2", state=TaskState.COMPLETED))
    await rows.insert(task("t3", updated_at=NOW + timedelta(hours=1)))

    async def ids(wanted: TaskFilter) -> set[str]:
        return {record.task_id for record in (await rows.page(ALICE, wanted))[0]}

    assert await ids(TaskFilter(context_id="other")) == {"t1"}
    assert await ids(TaskFilter(state=TaskState.COMPLETED)) == {"t2"}
    assert await ids(TaskFilter(updated_since=NOW + timedelta(minutes=1))) == {"t3"}
    assert await ids(TaskFilter(updated_since=NOW)) == {"t1", "t2", "t3"}


async def test_leases_are_renewed_by_who_holds_them(rows: TaskRows) -> None:
    later = NOW + timedelta(hours=1)
    await rows.insert(task("mine"))
    await rows.insert(task("ended", state=TaskState.CANCELED))
    await rows.insert(task("theirs", lease_owner="w2"))
    assert await rows.renew("w1", ["mine", "ended", "theirs", "nothing"], later) == {"mine"}
    renewed = await rows.peek("mine")
    assert renewed is not None
    assert renewed.lease_until == later


async def test_lost_tasks_are_failed_and_claimed_once(rows: TaskRows) -> None:
    def failed(record: TaskRecord) -> TaskRecord:
        return replace(record, state=TaskState.FAILED, version=record.version + 1)

    await rows.insert(task("lost"))
    await rows.insert(task("alive", lease_until=NOW + timedelta(hours=2)))
    waiting = task("waiting", state=TaskState.INPUT_REQUIRED, lease_owner=None, lease_until=None)
    await rows.insert(waiting)
    late = NOW + timedelta(hours=1)
    await rows.fail_lost(NOW, failed)
    assert await rows.claim(NOW) == []
    await rows.fail_lost(late, failed)
    claimed = await rows.claim(late)
    assert [record.task_id for record in claimed] == ["lost"]
    assert claimed[0].reported_at == late
    assert await rows.claim(late) == []
    assert await rows.claim(late, task_id="lost") == []


async def test_an_end_is_claimed_by_its_worker_first(rows: TaskRows) -> None:
    await rows.insert(task("t1", state=TaskState.COMPLETED))
    assert await rows.claim(NOW) == []
    assert await rows.claim(NOW, worker="w2") == []
    assert len(await rows.claim(NOW, worker="w1")) == 1
    await rows.insert(task("t2", state=TaskState.CANCELED, lease_until=None))
    assert len(await rows.claim(NOW)) == 1


async def test_deleting(rows: TaskRows) -> None:
    await rows.insert(task())
    await rows.delete("t1", ALICE)
    assert await rows.peek("t1") is None


async def test_an_agent_comes_back_as_it_was_written(agents: AgentStore) -> None:
    assert await agents.put(agent()) == (agent(), True)
    assert await agents.find("a1") == agent()
    assert await agents.find("a2") is None
    plain = agent("a2", endpoint=None, card=None)
    await agents.put(plain)
    assert await agents.find("a2") == plain


async def test_an_owner_replaces_an_agent_and_nobody_else_does(agents: AgentStore) -> None:
    await agents.put(agent())
    later = NOW + timedelta(hours=1)
    stored, appeared = await agents.put(agent(name="B", created_at=later, updated_at=later))
    assert (stored.name, stored.created_at, appeared) == ("B", NOW, False)
    for stranger in (BOB, EVE):
        with pytest.raises(AgentIdTaken):
            await agents.put(agent(owner=stranger))
    assert not await agents.ensure(agent(owner=EVE))
    assert await agents.ensure(agent("a2"))


async def test_an_ended_agent_may_come_back(agents: AgentStore) -> None:
    await agents.put(agent())
    ended = await agents.terminate("a1", NOW)
    assert ended is not None
    assert ended.status is AgentStatus.TERMINATED
    assert await agents.terminate("a1", NOW) is None
    assert await agents.active("acme") == []
    _, appeared = await agents.put(agent())
    assert appeared


async def test_lists_hold_the_tenants_agents(agents: AgentStore) -> None:
    for number in range(3):
        await agents.put(agent(f"a{number}", created_at=NOW + timedelta(seconds=number)))
    await agents.put(agent("foreign", EVE))
    await agents.terminate("a0", NOW)
    assert [each.agent_id for each in await agents.active("acme")] == ["a1", "a2"]
    page = await agents.page("acme", limit=2, after=None)
    assert [each.agent_id for each in page] == ["a2", "a1"]
    rest = await agents.page("acme", limit=2, after=(page[-1].created_at, page[-1].agent_id))
    assert [each.agent_id for each in rest] == ["a0"]
