"""Redis stops and comes back while two processes write and read one playbook."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from agentcore.ace.models import ContextDelta
from agentcore.kit.cache import open_cache
from agentcore.kit.db import Database
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.redis_server import RedisServer

PATIENCE = 100.0
STOPPED, BACK, WRITES = 4, 8, 12


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_redis_lost_and_found_under_load_loses_nothing_and_serves_nothing_old(
    database: Database,
) -> None:
    config = CacheConfig(timeout=0.2, required=False)
    async with (
        RedisServer.running() as redis,
        Supervisor() as here,
        Supervisor() as there,
        open_cache(config, redis.url, here) as one,
        open_cache(config, redis.url, there) as other,
    ):
        worlds = [ContextWorld(database, one, here), ContextWorld(database, other, there)]
        await worlds[0].contexts.create_playbook("agent-123", {}, principal=ALICE)
        acknowledged = [1, 1]
        writing = True

        async def write() -> None:
            nonlocal writing
            for number in range(WRITES):
                if number == STOPPED:
                    os.kill(redis.pid, signal.SIGSTOP)
                if number == BACK:
                    os.kill(redis.pid, signal.SIGCONT)
                who = number % 2
                made = await worlds[who].contexts.update_playbook("agent-123", lesson(number))
                acknowledged[who] = made.version
            writing = False

        async def read(who: int) -> None:
            while writing:
                least = acknowledged[who]
                found = await worlds[who].contexts.get_playbook("agent-123", principal=ALICE)
                assert found.version >= least
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            for who in (0, 1, 0, 1):
                group.create_task(read(who))

        async def all_see_everything() -> bool:
            seen = [await world.contexts.get_playbook("agent-123") for world in worlds]
            newest = all(found.version == WRITES + 1 for found in seen)
            return newest and not one.degraded and not other.degraded

        await eventually(all_see_everything)


def lesson(number: int) -> ContextDelta:
    return ContextDelta.model_validate(
        {
            "delta_id": f"lesson-{number}",
            "playbook_id": "pb-456",
            "changes": {"ops": [{"op": "ADD", "section": "a", "text": f"Lesson {number}."}]},
            "confidence": 1.0,
            "reasoning": "",
            "generated_at": "2026-01-01T00:00:00Z",
        }
    )
