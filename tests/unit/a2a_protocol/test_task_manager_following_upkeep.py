"""Leases, losses, retention: what a task manager does beside answering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from agentcore.a2a_protocol.errors import TaskNotCancelable
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import RUNNING, TaskEvent, TaskRecord, TaskState
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.registry.upkeep import TEND_SECONDS
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.tasks import grouped
from agentcore.a2a_protocol.tasks.snapshot import status_text
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import Beginning, begin_all
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import RecordingObserver, a2a, principal, scripted
from tests.fakes.a2a_tasks import ALICE, begin, record
from tests.fakes.clock import ManualClock

LEASE = 30.0
DAY = 24 * 3600.0


class Process:
    def __init__(self, runtime: A2ARuntime, observer: RecordingObserver) -> None:
        self.runtime = runtime
        self.manager = runtime.manager
        self.observer = observer

    async def send(self, text: str, **members: str) -> str:
        """The id of the task that the message led to."""
        message: JsonObject = {
            "messageId": f"m-{text}",
            "role": "ROLE_USER",
            "parts": [{"text": text}],
            **members,
        }
        begun = await self.manager.send(Sent(principal=principal(), message=message))
        if text != "wait":
            await self.manager.settled(begun, 10)
        return begun.record.task_id


@pytest.fixture
def store(database: Database) -> VersionedTaskStore:
    return VersionedTaskStore(database)


@pytest.fixture
async def both(database: Database, clock: ManualClock) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes whose clocks stand still, so that nothing is tended but by the test."""
    config = A2AConfig.model_validate({"lease_seconds": LEASE, "follow_seconds": 0.01})
    async with AsyncExitStack() as stack:
        made = []
        for observer in (RecordingObserver(), RecordingObserver()):
            opened = a2a(database, config=config, clock=clock, observers=(observer,))
            made.append(Process(await stack.enter_async_context(opened), observer))
        yield made[0], made[1]


async def state(store: VersionedTaskStore, task_id: str) -> TaskState:
    found = await store.peek(task_id)
    assert found is not None
    return found.state


async def test_a_lease_is_kept_as_long_as_the_agent_works(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    one, two = both
    task_id = await one.send("wait")
    for _ in range(5):
        clock.advance(LEASE / 2)
        await one.runtime.upkeep.tend()
        await two.runtime.upkeep.tend()
    assert await state(store, task_id) in RUNNING


async def test_a_lost_task_is_failed_and_told_by_one_process(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    await begin(store, record(created_at=clock.now()))
    one, two = both
    clock.advance(LEASE + 1)
    await asyncio.gather(one.runtime.upkeep.tend(), two.runtime.upkeep.tend())
    # Those who watch in the background look at the same time, and one of all takes it.
    while (found := await store.peek("t1")) is None or found.state is TaskState.WORKING:
        await asyncio.sleep(0.001)
    await asyncio.gather(one.runtime.upkeep.tend(), two.runtime.upkeep.tend())
    assert status_text(found.body) == "the process that ran this task was lost"
    while not (told := one.observer.outcomes + two.observer.outcomes):
        await asyncio.sleep(0.001)
    assert [outcome.error_message for outcome in told] == [status_text(found.body)]
    stored = await store.whole("t1", ALICE)
    assert stored is not None
    assert [event.seq for event in await store.events("t1", 0)] == [1, 2]
    assert len(stored.snapshot.history) == 2


async def test_who_was_cut_off_gives_all_the_time_to_come_back(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    """A database that was away for longer than a lease ends the tasks of nobody who lives."""
    one, two = both
    task_id = await one.send("wait")
    clock.advance(LEASE + 1)
    two.runtime.upkeep.cut_off()
    await two.runtime.upkeep.tend()
    assert await state(store, task_id) in RUNNING
    await one.runtime.upkeep.tend()
    clock.advance(LEASE - 1)
    await two.runtime.upkeep.tend()
    assert await state(store, task_id) in RUNNING


async def test_watching_goes_on_while_the_database_is_away(
    both: tuple[Process, Process],
    store: VersionedTaskStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("the database is away")

    one, two = both
    with monkeypatch.context() as patched:
        for name in ("versions", "renew", "lost", "claim"):
            patched.setattr(VersionedTaskStore, name, away)
        task_id = await one.send("wait")
        watching = asyncio.create_task(two.runtime.upkeep.watch())
        await clock.advance_until_idle(LEASE, step=1.0)
        assert not watching.done()
    await two.runtime.upkeep.tend()
    assert await state(store, task_id) in RUNNING
    watching.cancel()
    await asyncio.wait({watching})


async def test_only_what_was_there_is_gone_on_from(both: tuple[Process, Process]) -> None:
    one, _ = both
    begun = await one.runtime.manager.find(ALICE, await one.send("hello"))
    followers, last = one.runtime.followers, begun.record.version
    found = [await followers.resumable(begun.record, each) for each in (0, 1, last, last + 1)]
    assert found == [True, True, True, False]


async def test_a_task_that_waits_for_its_client_is_not_lost(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    one, two = both
    task_id = await one.send("ask")
    clock.advance(DAY)
    await two.runtime.upkeep.tend()
    assert await state(store, task_id) is TaskState.INPUT_REQUIRED


async def test_an_end_elsewhere_stops_the_agent_and_is_told_by_its_process(
    both: tuple[Process, Process],
) -> None:
    one, two = both
    task_id = await one.send("wait")
    while not scripted(one.runtime).seen:
        await asyncio.sleep(0.001)
    await two.manager.cancel(ALICE, task_id)
    assert scripted(one.runtime).cancelled == []
    await one.runtime.upkeep.tend()
    await asyncio.wait_for(one.observer.heard.wait(), 60)
    while not scripted(one.runtime).cancelled:
        await asyncio.sleep(0.001)
    assert two.observer.outcomes == []
    with pytest.raises(TaskNotCancelable):
        await one.manager.cancel(ALICE, task_id)


async def test_word_of_another_process_is_enough(both: tuple[Process, Process]) -> None:
    one, two = both
    task_id = await one.send("wait")
    await two.manager.cancel(ALICE, task_id)
    one.runtime.upkeep.heard(task_id)
    one.runtime.upkeep.heard("nothing known here")
    await asyncio.wait_for(one.observer.heard.wait(), 60)


async def test_closing_fails_what_runs_here_only(
    both: tuple[Process, Process], store: VersionedTaskStore
) -> None:
    one, two = both
    mine = await one.send("wait")
    theirs = await two.send("wait", contextId="other")
    await one.runtime.upkeep.close()
    assert await state(store, mine) is TaskState.FAILED
    assert await state(store, theirs) in RUNNING


async def test_what_rests_is_forgotten(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    one, _ = both
    done, asked = await one.send("hello"), await one.send("ask")
    clock.advance(2 * DAY)
    await one.runtime.upkeep.prune()
    assert await store.events(done, 0) == []
    assert await store.events(asked, 0) != []
    assert await store.whole(done, ALICE) is not None
    clock.advance(31 * DAY)
    await one.runtime.upkeep.prune()
    assert await store.peek(done) is None
    assert await store.peek(asked) is None


async def test_following_ends_when_the_task_is_gone(
    both: tuple[Process, Process], store: VersionedTaskStore, clock: ManualClock
) -> None:
    one, two = both
    task_id = await one.send("ask")
    found = await store.peek(task_id)
    assert found is not None
    following = asyncio.ensure_future(_all(two, found))
    clock.advance(40 * DAY)
    await one.runtime.upkeep.prune()
    assert await asyncio.wait_for(following, 20) == []


async def _all(process: Process, task: TaskRecord) -> list[TaskEvent | None]:
    return [event async for event in process.runtime.followers.follow(task, 99)]


async def test_a_task_whose_commit_went_unanswered_is_worked_on(
    both: tuple[Process, Process],
    store: VersionedTaskStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unanswered(database: Database, new: Sequence[Beginning]) -> set[str]:
        await begin_all(database, new)
        return await begin_all(database, new)

    monkeypatch.setattr(grouped, "begin_all", unanswered)
    one, two = both
    task_id = await one.send("hello")
    assert await state(store, task_id) is TaskState.COMPLETED
    assert await two.send("hello") == task_id, "and its repetition finds it"


async def test_watching_looks_often_and_tends_before_the_lease_is_over(
    both: tuple[Process, Process], clock: ManualClock
) -> None:
    one, _ = both
    await one.send("wait")
    while not clock.slept:
        await asyncio.sleep(0.001)
    assert set(clock.slept) <= {0.5, 1.0, TEND_SECONDS}
    await clock.advance_until_idle(3, step=0.5)
