from __future__ import annotations

import asyncio

import pytest

from agentcore.ace.errors import EvolutionQueueFull
from agentcore.ace.evolution_queue import EvolutionQueue


async def test_agents_stand_once_in_the_order_they_came() -> None:
    queue = EvolutionQueue(10, retry_after=1)
    assert [queue.put(agent) for agent in ("a", "b", "a", "c")] == [1, 2, 1, 3]
    assert await queue.take(2, timeout=1) == ["a", "b"]
    assert await queue.take(2, timeout=1) == ["c"]
    assert len(queue) == 0


def test_queue_backpressure() -> None:
    queue = EvolutionQueue(1000, retry_after=5)
    for number in range(1000):
        queue.put(f"agent-{number}")
    with pytest.raises(EvolutionQueueFull) as caught:
        queue.put("one-more")
    assert (caught.value.http_status, caught.value.retry_after) == (429, 5)
    assert queue.put("agent-7") == 8


async def test_taking_waits_for_somebody_for_a_while() -> None:
    queue = EvolutionQueue(10, retry_after=1)
    assert await queue.take(5, timeout=0.01) == []
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(queue.take(5, timeout=600))
        await asyncio.sleep(0)
        queue.put("a")
    assert taking.result() == ["a"]


async def test_waking_before_the_wait_ends_it_too() -> None:
    queue = EvolutionQueue(10, retry_after=1)
    queue.wake()
    async with asyncio.timeout(20):
        assert await queue.take(5, timeout=60) == []
    assert await queue.take(5, timeout=0.01) == []


async def test_waking_ends_the_wait() -> None:
    queue = EvolutionQueue(10, retry_after=1)
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(queue.take(5, timeout=600))
        await asyncio.sleep(0)
        queue.wake()
    assert taking.result() == []
