from __future__ import annotations

import asyncio
import gc

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.events import EventSource


def numbered(number: int) -> JsonObject:
    return {"type": "step", "step": number}


async def test_events_arrive_in_order_until_the_source_ends() -> None:
    source = EventSource()
    reader = source.subscribe()
    source.publish(numbered(1))
    source.publish(numbered(2))
    source.end()
    assert [event async for event in reader] == [numbered(1), numbered(2)]


async def test_a_reader_waits_for_news() -> None:
    source = EventSource()
    reader = source.subscribe()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(anext(reader))
        await asyncio.sleep(0)
        source.publish(numbered(1))
    assert waiting.result() == numbered(1)


async def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    source = EventSource()
    reader = source.subscribe(backlog=2)
    for number in range(5):
        source.publish(numbered(number))
    assert await anext(reader) == {**numbered(3), "missed": 3}
    assert await anext(reader) == numbered(4)


async def test_readers_are_independent() -> None:
    source = EventSource()
    early = source.subscribe()
    source.publish(numbered(1))
    late = source.subscribe()
    source.publish(numbered(2))
    assert await anext(early) == numbered(1)
    assert await anext(late) == numbered(2)


def test_a_forgotten_subscription_costs_nothing() -> None:
    source = EventSource()
    assert not source.watched
    reader = source.subscribe()
    assert source.watched
    del reader
    gc.collect()
    assert not source.watched
