from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from a2a.server.cluster.version import TaskVersion
from a2a.types import a2a_pb2 as pb

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.errors import InvalidParams, TaskNotCancelable, TaskNotFound
from agentcore.a2a_protocol.models.task import TaskQuery, TaskState
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.sdk.context import call_context
from agentcore.a2a_protocol.sdk.task_store import PostgresTaskStore
from agentcore.a2a_protocol.sdk.values import status
from agentcore.a2a_protocol.store import TaskRows
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from tests.fakes.a2a import a2a, at, principal

ALICE, BOB = principal("alice"), principal("bob")


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[A2ARuntime]:
    """With a completed task "done" and a waiting task "open", both of alice."""
    async with a2a(database) as opened:
        store = PostgresTaskStore(TaskRows(database), opened.manager, SystemClock())
        context = call_context(Caller(principal=ALICE))
        for task_id, state in (("done", TaskState.COMPLETED), ("open", TaskState.INPUT_REQUIRED)):
            task = pb.Task(id=task_id, context_id="c", status=status(state, SystemClock().now()))
            await store.save(
                task, event=None, prev=None, prev_version=TaskVersion.MISSING, context=context
            )
        yield opened


async def test_the_callers_tasks(runtime: A2ARuntime) -> None:
    assert (await runtime.tasks.get(ALICE, "done"))["id"] == "done"
    first = await runtime.tasks.page(ALICE, TaskQuery(limit=1))
    assert (at(first, "tasks", 0, "id"), first["total"]) == ("open", 2)
    rest = await runtime.tasks.page(ALICE, TaskQuery(cursor=str(first["next_cursor"])))
    assert (at(rest, "tasks", 0, "id"), rest["next_cursor"]) == ("done", None)
    waiting = await runtime.tasks.page(ALICE, TaskQuery(state=TaskState.INPUT_REQUIRED))
    assert waiting["total"] == 1
    elsewhere = await runtime.tasks.page(ALICE, TaskQuery(context_id="other"))
    assert elsewhere["tasks"] == []


async def test_errors_have_our_classes(runtime: A2ARuntime) -> None:
    with pytest.raises(TaskNotFound):
        await runtime.tasks.get(ALICE, "none")
    with pytest.raises(TaskNotFound):
        await runtime.tasks.get(BOB, "done")
    with pytest.raises(TaskNotFound):
        await runtime.tasks.cancel(BOB, "open")
    with pytest.raises(TaskNotCancelable):
        await runtime.tasks.cancel(ALICE, "done")
    with pytest.raises(InvalidParams):
        await runtime.tasks.page(ALICE, TaskQuery(cursor="x"))
    canceled = await runtime.tasks.cancel(ALICE, "open")
    assert at(canceled, "status", "state") == "TASK_STATE_CANCELED"
