"""What the SDK demands of a versioned task store, asked of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from a2a.server.cluster.task_store import ConcurrentTaskModificationError
from a2a.server.cluster.version import TaskVersion
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InternalError, InvalidParamsError

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.models.task import Owner, TaskRecord, TaskState
from agentcore.a2a_protocol.sdk.context import call_context, user_of
from agentcore.a2a_protocol.sdk.task_store import PostgresTaskStore, RowFollower, number
from agentcore.a2a_protocol.sdk.values import part_to, status
from agentcore.a2a_protocol.store import TaskRows
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database, StorageUnavailable, build_engine
from agentcore.kit.models import DatabaseConfig
from tests.fakes.a2a import a2a, principal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = call_context(Caller(principal=principal("alice")))
BOB = call_context(Caller(principal=principal("bob")))


def task(task_id: str = "t1", state: TaskState = TaskState.WORKING, seconds: float = 0) -> pb.Task:
    made = pb.Task(
        id=task_id,
        context_id="c1",
        status=status(state, NOW + timedelta(seconds=seconds)),
        history=[pb.Message(message_id="m", role=pb.Role.ROLE_USER, parts=[part_to("hello")])],
    )
    made.metadata.update({"agentId": "poet"})
    return made


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresTaskStore]:
    async with a2a(database) as runtime:
        yield PostgresTaskStore(TaskRows(database), runtime.manager, SystemClock())


async def save(
    store: PostgresTaskStore,
    made: pb.Task,
    version: TaskVersion = TaskVersion.MISSING,
    context: ServerCallContext = ALICE,
) -> TaskVersion:
    return await store.save(made, event=None, prev=None, prev_version=version, context=context)


async def test_what_is_saved_is_read_with_its_version(store: PostgresTaskStore) -> None:
    assert await store.get("t1", ALICE) is None
    first = await save(store, task())
    found = await store.get("t1", ALICE)
    assert found is not None
    assert (found.task, found.version) == (task(), first)
    second = await save(store, task(state=TaskState.COMPLETED), first)
    assert second.is_after(first)


async def test_versions_protect_from_overwriting(store: PostgresTaskStore) -> None:
    first = await save(store, task())
    with pytest.raises(ConcurrentTaskModificationError):
        await save(store, task())
    await save(store, task(), first)
    with pytest.raises(ConcurrentTaskModificationError):
        await save(store, task(), first)


async def test_cancelling_needs_no_version_and_a_living_task(store: PostgresTaskStore) -> None:
    with pytest.raises(ConcurrentTaskModificationError):
        await save(store, task(state=TaskState.CANCELED))
    first = await save(store, task())
    await save(store, task(), first)
    await save(store, task(state=TaskState.CANCELED), first)
    with pytest.raises(ConcurrentTaskModificationError):
        await save(store, task(state=TaskState.CANCELED), first)


async def test_a_strangers_task_is_not_there(store: PostgresTaskStore) -> None:
    first = await save(store, task())
    assert await store.get("t1", BOB) is None
    assert (await store.list(pb.ListTasksRequest(), BOB)).total_size == 0
    for version in (TaskVersion.MISSING, first):
        with pytest.raises(ConcurrentTaskModificationError):
            await save(store, task(), version, BOB)
    await store.delete("t1", BOB)
    assert await store.get("t1", ALICE) is not None
    await store.delete("t1", ALICE)
    assert await store.get("t1", ALICE) is None


async def test_lists(store: PostgresTaskStore) -> None:
    for seconds in range(5):
        await save(store, task(f"t{seconds}", seconds=seconds))
    seen: list[str] = []
    token = ""
    for size in (2, 2, 1):
        page = await store.list(pb.ListTasksRequest(page_size=2, page_token=token), ALICE)
        assert (page.total_size, page.page_size, len(page.tasks)) == (5, 2, size)
        seen += [found.id for found in page.tasks]
        token = page.next_page_token
    assert (seen, token) == (["t4", "t3", "t2", "t1", "t0"], "")
    working = pb.ListTasksRequest(status=pb.TaskState.TASK_STATE_WORKING)
    assert (await store.list(working, ALICE)).total_size == 5
    failed = pb.ListTasksRequest(status=pb.TaskState.TASK_STATE_FAILED)
    assert (await store.list(failed, ALICE)).total_size == 0
    late = pb.ListTasksRequest(context_id="c1")
    late.status_timestamp_after.FromDatetime(NOW + timedelta(seconds=3))
    assert (await store.list(late, ALICE)).total_size == 2
    with pytest.raises(InvalidParamsError):
        await store.list(pb.ListTasksRequest(page_token="mine"), ALICE)


async def test_an_unreachable_database_is_said_so(store: PostgresTaskStore) -> None:
    config = DatabaseConfig.model_validate({"connect_timeout": 1})
    nowhere = build_engine(config, "postgresql://nobody@127.0.0.1:1/nothing")
    broken = PostgresTaskStore(TaskRows(Database(nowhere)), store.manager, SystemClock())
    context = call_context(Caller(principal=principal("alice")))
    with pytest.raises(InternalError, match="cannot be reached"):
        await broken.get("t1", context)
    assert isinstance(user_of(context).failure, StorageUnavailable)
    await nowhere.dispose()


class BrokenRows(TaskRows):
    async def get(self, task_id: str, owner: Owner) -> TaskRecord | None:
        raise ZeroDivisionError("SELECT secret")


async def test_a_fault_of_the_store_is_not_quoted(
    store: PostgresTaskStore, database: Database
) -> None:
    broken = PostgresTaskStore(BrokenRows(database), store.manager, SystemClock())
    with pytest.raises(InternalError) as caught:
        await broken.get("t1", ALICE)
    assert "secret" not in caught.value.message


async def test_a_follower_sees_each_state_that_stays(
    store: PostgresTaskStore, database: Database
) -> None:
    follower = RowFollower(TaskRows(database), SystemClock(), seconds=0.01)
    first = await save(store, task())
    following = follower.subscribe("t1", after=first)
    second = await save(store, task(seconds=1), first)
    seen = await anext(following)
    assert (number(seen.version), seen.event) == (2, task(seconds=1))
    await save(store, task(state=TaskState.COMPLETED), second)
    assert [number(event.version) async for event in following] == [3]


async def test_following_what_is_gone_ends(database: Database) -> None:
    follower = RowFollower(TaskRows(database), SystemClock(), seconds=0.01)
    assert [event async for event in follower.subscribe("t1", after=TaskVersion.MISSING)] == []


def test_a_version_of_another_store() -> None:
    with pytest.raises(TypeError):
        number(TaskVersion("abc"))
