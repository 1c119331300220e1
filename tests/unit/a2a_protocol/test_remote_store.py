from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agentcore.a2a_protocol.models.remote import RemoteTask
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database
from tests.fakes.a2a_tasks import ALICE, NOW, begin, record

BOUND = RemoteTask(task_id="t1", agent_id="poet", remote_id="theirs", context_id="c9")
CLAIM = timedelta(seconds=10)
LATER = NOW + timedelta(minutes=1)


async def test_a_task_elsewhere_is_kept_until_it_has_ended(database: Database) -> None:
    tasks, store = VersionedTaskStore(database), RemoteTaskStore(database)
    await begin(tasks)
    assert await store.find("t1") is None
    await store.bind(BOUND)
    await store.bind(replace(BOUND, remote_id="another"))
    found = await store.find("t1")
    assert found == replace(BOUND, remote_id="another")


async def test_only_what_is_forsaken_is_claimed_and_by_one(database: Database) -> None:
    tasks, store = VersionedTaskStore(database), RemoteTaskStore(database)
    for task_id, state in (("t1", TaskState.CANCELED), ("t2", TaskState.WORKING)):
        await begin(tasks, record(task_id, state=state))
        await store.bind(replace(BOUND, task_id=task_id))
    assert await store.forsaken(NOW, CLAIM, 5) == []
    ((found, owner),) = await store.forsaken(LATER, CLAIM, 5)
    assert (found.task_id, found.attempts, owner) == ("t1", 1, ALICE)
    assert await store.forsaken(LATER, CLAIM, 5) == []
    await store.postpone("t1", LATER + CLAIM)
    assert len(await store.forsaken(LATER + 2 * CLAIM, CLAIM, 5)) == 1
    await store.ended("t1")
    assert await store.forsaken(LATER + timedelta(hours=1), CLAIM, 5) == []


async def test_what_cannot_be_cancelled_is_given_up(database: Database) -> None:
    tasks, store = VersionedTaskStore(database), RemoteTaskStore(database)
    await begin(tasks, record(state=TaskState.FAILED))
    await store.bind(BOUND)
    await store.postpone("t1", None)
    assert await store.forsaken(LATER, CLAIM, 5) == []
