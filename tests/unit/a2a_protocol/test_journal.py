from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks import journal as journals
from agentcore.a2a_protocol.tasks.journal import TaskJournal, moment
from agentcore.a2a_protocol.tasks.snapshot import artifact_event, numbered, status_event
from agentcore.a2a_protocol.tasks.writes.store import Change
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a_tasks import ALICE, NOW, Desktop, journal_of


def chunk(journal: TaskJournal, text: str, *, append: bool = True) -> JsonObject:
    artifact: JsonObject = {"artifactId": "x", "parts": [{"text": text}]}
    return artifact_event(journal.snapshot.head, artifact, append=append, last=False)


def state(journal: TaskJournal, after: TaskState) -> JsonObject:
    return status_event(journal.snapshot.head, after, NOW)


async def parts(desk: Desktop) -> list[object]:
    stored = await desk.store.whole("t1", ALICE)
    assert stored is not None
    held = stored.snapshot.artifacts["x"]["parts"]
    assert isinstance(held, list)
    return [part["text"] for part in held if isinstance(part, dict)]


async def test_chunks_of_a_stream_are_few_writes_and_no_event_is_missing(
    database: Database,
) -> None:
    async with journal_of(database, flush_seconds=0.05) as desk:
        for number in range(400):
            desk.journal.say(chunk(desk.journal, str(number), append=number > 0))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        desk.journal.say(state(desk.journal, TaskState.COMPLETED))
        await desk.journal.flush()
        assert desk.store.writes < 20
        assert await parts(desk) == [str(number) for number in range(400)]
        seqs = [event.seq for event in await desk.store.events("t1", 0)]
        assert seqs == list(range(1, 403))
        assert desk.feed.seq == 402
        last = desk.owner.records[-1]
        assert (last.state, last.version) == (TaskState.COMPLETED, 402)


async def test_nobody_sees_an_event_before_it_is_stored(database: Database) -> None:
    async with journal_of(database, flush_seconds=60) as desk:
        desk.journal.say(chunk(desk.journal, "a", append=False))
        assert desk.feed.seq == 1
        await desk.journal.flush()
        assert desk.feed.seq == 2
        desk.journal.say(chunk(desk.journal, "b"))
        assert desk.feed.seq == 2
        assert await parts(desk) == ["a"]


async def test_the_first_events_go_out_without_waiting_for_the_interval(
    database: Database,
) -> None:
    async with journal_of(database, flush_seconds=60) as desk:
        desk.journal.say(chunk(desk.journal, "a", append=False))
        await desk.feed.changed(1, 10)
        assert desk.feed.seq == 2


async def test_an_end_is_an_end(database: Database) -> None:
    async with journal_of(database) as desk:
        desk.journal.say(state(desk.journal, TaskState.REJECTED))
        for event in (state(desk.journal, TaskState.WORKING), chunk(desk.journal, "a")):
            with pytest.raises(TaskEnded):
                desk.journal.say(event)
        assert desk.journal.state is TaskState.REJECTED
        await desk.journal.flush()


async def test_a_task_does_not_go_back_to_its_start(database: Database) -> None:
    async with journal_of(database) as desk:
        with pytest.raises(TaskEnded, match="cannot become"):
            desk.journal.say(state(desk.journal, TaskState.SUBMITTED))


async def cancel_elsewhere(desk: Desktop) -> None:
    """What another process writes."""
    found = await desk.store.peek("t1")
    assert found is not None
    event = numbered(found.version + 1, status_event(found.body, TaskState.CANCELED, NOW))
    record = replace(found, version=event.seq, state=TaskState.CANCELED)
    assert await super(type(desk.store), desk.store).append(Change(record=record, events=[event]))


async def test_a_writer_that_was_overtaken_stops(database: Database) -> None:
    async with journal_of(database) as desk:
        await cancel_elsewhere(desk)
        desk.journal.say(chunk(desk.journal, "mine", append=False))
        await desk.journal.flush()
        assert (desk.owner.lost, desk.journal.overtaken) == (1, True)
        assert desk.feed.seq == 2, "followers hear what the other has written"
        assert desk.journal.record.state is TaskState.CANCELED
        with pytest.raises(TaskEnded):
            desk.journal.say(chunk(desk.journal, "more"))
        stored = await desk.store.whole("t1", ALICE)
        assert stored is not None
        assert stored.snapshot.artifacts == {}


async def test_looking_finds_what_another_has_written(database: Database) -> None:
    async with journal_of(database) as desk:
        await desk.journal.look()
        assert not desk.journal.overtaken
        await cancel_elsewhere(desk)
        await desk.journal.look()
        assert desk.journal.overtaken
        await desk.journal.look()
        assert desk.owner.lost == 1


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(database: Database) -> None:
    async with journal_of(database) as desk:
        desk.store.hide_next = True
        desk.journal.say(chunk(desk.journal, "a", append=False))
        desk.journal.say(chunk(desk.journal, "b"))
        await desk.journal.flush()
        assert not desk.journal.overtaken
        assert await parts(desk) == ["a", "b"]
        desk.journal.say(state(desk.journal, TaskState.COMPLETED))
        await desk.journal.flush()
        assert [event.seq for event in await desk.store.events("t1", 0)] == [1, 2, 3, 4]


async def test_a_database_that_is_away_for_a_while_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "AGAIN_SECONDS", 0.0)
    async with journal_of(database) as desk:
        desk.store.faults = [StorageUnavailable("away"), StorageUnavailable("away")]
        desk.journal.say(chunk(desk.journal, "a", append=False))
        await desk.journal.flush()
        assert desk.store.writes == 3
        assert await parts(desk) == ["a"]


async def test_a_caller_that_is_cancelled_does_not_take_its_write_along(
    database: Database,
) -> None:
    async with journal_of(database) as desk:
        desk.journal.say(state(desk.journal, TaskState.COMPLETED))
        flushing = asyncio.ensure_future(desk.journal.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        await desk.journal.flush()
        found = await desk.store.peek("t1")
        assert found is not None
        assert found.state is TaskState.COMPLETED


async def test_an_agent_that_talks_too_fast_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MOST_WAITING", 3)
    async with journal_of(database, flush_seconds=6000) as desk:
        for number in range(3):
            await desk.journal.room()
            desk.journal.say(chunk(desk.journal, "x", append=number > 0))
        waiting = asyncio.ensure_future(desk.journal.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 60)
        assert desk.store.writes == 1


async def test_a_waiting_task_has_no_lease_and_a_running_one_has(database: Database) -> None:
    async with journal_of(database) as desk:
        desk.journal.say(state(desk.journal, TaskState.WORKING))
        await desk.journal.flush()
        running = await desk.store.peek("t1")
        assert running is not None
        assert running.lease_until is not None
        assert running.lease_until > NOW + timedelta(seconds=30)
        desk.journal.say(state(desk.journal, TaskState.INPUT_REQUIRED))
        await desk.journal.flush()
        waiting = await desk.store.peek("t1")
        assert waiting is not None
        assert (waiting.lease_owner, waiting.lease_until) == (None, None)


def test_times_are_those_of_the_wire() -> None:
    assert moment(NOW.replace(microsecond=123456)).microsecond == 123000
