"""One suite for wherever rates are counted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from agentcore.kit.cache import Cache, open_cache
from agentcore.kit.clock import SystemClock
from agentcore.kit.ids import Ids
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.rates.sources import (
    LocalRequests,
    LocalTokens,
    SharedRequests,
    SharedTokens,
    Source,
    bucket_standing,
)
from tests.fakes.clock import ManualClock
from tests.fakes.redis_server import RedisServer

CLOCK = SystemClock()
Open = Callable[[], Source]
KINDS = ("local tokens", "local requests", "shared tokens", "shared requests")


@pytest.fixture(params=KINDS)
def opening(request: pytest.FixtureRequest, cache: Cache) -> Open:
    """What opens the source in one more process; a local one is in one process only."""
    if request.param == "local tokens":
        tokens = LocalTokens(CLOCK)
        return lambda: tokens
    if request.param == "local requests":
        requests = LocalRequests(CLOCK)
        return lambda: requests
    if request.param == "shared tokens":
        return lambda: SharedTokens(cache, CLOCK)
    return lambda: SharedRequests(cache, CLOCK)


async def test_nobody_gets_more_than_the_limit(opening: Open) -> None:
    sources = [opening() for _ in range(3)]
    began = CLOCK.monotonic()
    asked = [source.take("k", 30, 1) for source in sources for _ in range(20)]
    standings = await asyncio.gather(*asked)
    # What a bucket of tokens is filled with meanwhile: on a busy machine it may be one.
    meanwhile = 30 / 60 * (CLOCK.monotonic() - began)
    assert 30 <= sum(standing.granted for standing in standings) <= 30 + meanwhile
    refused = [standing for standing in standings if not standing.granted]
    assert all(0 < standing.retry_after <= 120 for standing in refused)
    assert all(standing.remaining < 1 for standing in refused)


async def test_what_is_left_is_told(opening: Open) -> None:
    source = opening()
    # A bucket of two a minute fills so slowly that no test can see it.
    assert int((await source.take("k", 2, 1)).remaining) == 1
    assert not (await source.take("k", 2, 2)).granted
    last = await source.take("k", 2, 1)
    assert last.granted
    assert int(last.remaining) == 0
    assert 0 <= last.reset <= 120


async def test_limits_of_others_are_others(opening: Open) -> None:
    source = opening()
    assert (await source.take("a", 5, 5)).granted
    assert (await source.take("b", 5, 5)).granted
    assert (await source.take("a", 50, 20)).granted


@pytest.fixture(params=["local", "shared"])
def tokens(request: pytest.FixtureRequest, cache: Cache) -> Source:
    return LocalTokens(CLOCK) if request.param == "local" else SharedTokens(cache, CLOCK)


async def test_what_was_not_needed_is_given_back(tokens: Source) -> None:
    assert (await tokens.take("k", 1000, 900)).granted
    await tokens.give("k", 1000, 800)
    assert (await tokens.take("k", 1000, 850)).granted


async def test_what_was_used_beyond_is_owed(tokens: Source) -> None:
    began = CLOCK.monotonic()
    assert (await tokens.take("k", 60, 60)).granted
    await tokens.give("k", 60, -60)
    refused = await tokens.take("k", 60, 1)
    assert not refused.granted
    assert 60 - (CLOCK.monotonic() - began) < refused.retry_after < 62


async def test_giving_back_never_makes_it_more_than_there_is(tokens: Source) -> None:
    await tokens.give("k", 2, 1000)
    assert (await tokens.take("k", 2, 2)).granted
    assert not (await tokens.take("k", 2, 1)).granted


async def test_a_bucket_fills_with_time() -> None:
    clock = ManualClock()
    tokens = LocalTokens(clock)
    assert (await tokens.take("k", 60, 60)).granted
    clock.advance(9.5)
    assert not (await tokens.take("k", 60, 10)).granted
    clock.advance(0.5)
    assert (await tokens.take("k", 60, 10)).granted
    clock.advance(3600)
    assert (await tokens.take("k", 60, 60)).remaining == 0


async def test_without_redis_each_process_counts_alone(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    config = CacheConfig(namespace=f"t:{Ids().new().hex}", timeout=60)
    async with open_cache(config, own_redis.url, supervisor, CLOCK) as cache:
        sources: list[Source] = [SharedTokens(cache, CLOCK), SharedRequests(cache, CLOCK)]
        for source in sources:
            assert (await source.take("k", 10, 10)).granted
            assert not (await source.take("k", 10, 10)).granted
        os.kill(own_redis.pid, signal.SIGKILL)
        for source in sources:
            standings = [await source.take("k", 10, 5) for _ in range(4)]
            assert [standing.granted for standing in standings] == [True, True, False, False]
            await source.give("k", 10, 5)
        assert cache.degraded


def test_a_standing_says_when_there_is_enough() -> None:
    told = bucket_standing(60, 30, 10.0, granted=False)
    assert (told.remaining, told.reset, told.retry_after) == (10.0, 50.0, 20.0)
