from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.models.task import TaskEvent
from agentcore.a2a_protocol.tasks import feeds
from agentcore.a2a_protocol.tasks.feeds import Feed, Feeds


def event(seq: int, size: int = 1) -> TaskEvent:
    return TaskEvent(seq=seq, state=None, body=b"x" * size)


def seqs(events: list[TaskEvent] | None) -> list[int] | None:
    return None if events is None else [each.seq for each in events]


def test_a_reader_gets_what_it_has_not_seen() -> None:
    feed = Feed(3)
    feed.tell([event(4), event(5)])
    assert seqs(feed.since(3)) == [4, 5]
    assert seqs(feed.since(4)) == [5]
    assert seqs(feed.since(5)) == []
    assert feed.since(2) is None, "the log knows what was before"


def test_what_is_known_already_is_passed_over() -> None:
    feed = Feed(3)
    feed.tell([event(4), event(5)])
    feed.tell([event(4), event(5), event(6)])
    assert seqs(feed.since(3)) == [4, 5, 6]


def test_a_gap_sends_readers_to_the_log() -> None:
    feed = Feed(3)
    feed.tell([event(4)])
    feed.tell([event(8)])
    assert feed.since(3) is None
    assert feed.since(6) is None
    assert seqs(feed.since(7)) == [8]


def test_memory_is_bounded() -> None:
    feed = Feed(0)
    feed.tell(event(seq) for seq in range(1, feeds.KEPT_EVENTS + 11))
    assert feed.since(9) is None
    assert len(feed.since(10) or []) == feeds.KEPT_EVENTS
    feed.tell([event(feeds.KEPT_EVENTS + 11, feeds.KEPT_BYTES + 1)])
    assert feed.since(feed.seq - 1) is None


@given(st.lists(st.integers(0, 30)), st.integers(0, 30))
def test_whatever_is_told_no_reader_misses_or_repeats(told: list[int], after: int) -> None:
    feed = Feed(0)
    for upto in told:
        feed.tell(event(seq) for seq in range(max(1, upto - 3), upto + 1))
    found = seqs(feed.since(after))
    if found is not None:
        assert found == list(range(after + 1, feed.seq + 1))


async def test_waiting_ends_with_news_with_the_task_or_with_time() -> None:
    feed = Feed(1)
    await feed.changed(0, 60)
    waiting = asyncio.gather(feed.changed(1, 60), feed.changed(1, 60))
    await asyncio.sleep(0)
    feed.tell([event(2)])
    await asyncio.wait_for(waiting, 30)
    await feed.changed(2, 0.001)
    closing = asyncio.gather(feed.changed(2, 60))
    await asyncio.sleep(0)
    feed.close()
    await asyncio.wait_for(closing, 30)
    assert feed.gone


def test_a_feed_lives_as_long_as_somebody_holds_it() -> None:
    all_feeds = Feeds()
    first = all_feeds.hold("t", 5)
    assert all_feeds.hold("t", 9) is first
    assert first.seq == 5
    all_feeds.let_go("t", first)
    assert all_feeds.find("t") is first
    all_feeds.let_go("t", first)
    assert all_feeds.find("t") is None


@pytest.mark.parametrize("after", [0, 7])
def test_a_new_feed_knows_nothing_older(after: int) -> None:
    feed = Feed(7)
    assert feed.since(after) == ([] if after == 7 else None)


async def test_who_stops_waiting_keeps_nobody_else_from_the_news() -> None:
    feed = Feed(1)
    impatient = asyncio.ensure_future(asyncio.wait_for(feed.changed(1, 60), 0))
    patient = feed.changed(1, 60)
    with pytest.raises(TimeoutError):
        await impatient
    feed.tell([event(2)])
    await asyncio.wait_for(patient, 30)
