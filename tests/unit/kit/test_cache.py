from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from agentcore.kit import cache as module
from agentcore.kit.cache import Cache, LocalCache, open_cache
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import StartupError
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.redis_server import RedisServer
from tests.fakes.waiting import eventually

PATIENT = CacheConfig(timeout=60)
# What takes longer is given up: of a server that was stopped, or on a machine that is busy.
HASTY = CacheConfig(timeout=0.1, required=False)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks after its server fifty times in a second instead of twice."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.02)


async def test_a_value_comes_back_until_it_is_deleted(cache: Cache) -> None:
    assert await cache.get("key") is None
    await cache.set("key", b"\x00value", ttl=60)
    assert await cache.get("key") == b"\x00value"
    await cache.delete("key", "another")
    assert await cache.get("key") is None
    await cache.delete()


async def test_a_value_expires(cache: Cache) -> None:
    await cache.set("key", b"value", ttl=0.02)
    await asyncio.sleep(0.05)
    assert await cache.get("key") is None


async def test_messages_reach_the_subscribers_of_other_processes(
    servers: EmbeddedServers, supervisor: Supervisor
) -> None:
    config = CacheConfig(namespace=f"t:{os.urandom(6).hex()}", timeout=60)
    got: list[bytes] = []
    async with AsyncExitStack() as stack:
        other = Supervisor()
        listening = Cache(
            Redis.from_url(str(servers.redis_url)),
            namespace=config.namespace,
            timeout=60,
            clock=ManualClock(),
        )
        stack.push_async_callback(listening.aclose)
        stack.push_async_callback(other.stop)
        listening.subscribe("news", got.append)
        other.start("listening", listening.watch)
        speaking = await stack.enter_async_context(
            open_cache(config, servers.redis_url, supervisor)
        )
        async with asyncio.timeout(60):
            while not got:
                await speaking.publish("news", b"hello")
                await asyncio.sleep(0.02)
        assert set(got) == {b"hello"}


async def test_a_late_subscriber_is_heard_and_told_that_it_may_have_missed_something(
    cache: Cache,
) -> None:
    got: list[bytes] = []
    cache.subscribe("early", lambda _: None)
    await eventually(lambda: cache.era > 0, 20.0)
    before = cache.era
    cache.subscribe("news", got.append)
    await eventually(lambda: cache.era > before, 20.0)
    await cache.publish("news", b"hello")
    await eventually(lambda: got == [b"hello"], 20.0)


async def test_without_redis_the_cache_works_from_memory(supervisor: Supervisor) -> None:
    got: list[bytes] = []
    async with open_cache(CacheConfig(), None, supervisor) as cache:
        cache.subscribe("news", got.append)
        await cache.set("key", b"value", ttl=60)
        await cache.publish("news", b"hello")
        assert (cache.degraded, await cache.get("key"), got) == (True, b"value", [b"hello"])


async def test_what_was_deleted_while_redis_was_away_stays_deleted(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    async with (
        Supervisor() as elsewhere,
        open_cache(HASTY, own_redis.url, supervisor) as cache,
        open_cache(PATIENT, own_redis.url, elsewhere) as other,
    ):
        await other.set("stale", b"old", ttl=600)
        await other.set("kept", b"kept", ttl=600)
        os.kill(own_redis.pid, signal.SIGSTOP)
        await cache.delete("stale")
        assert cache.degraded
        assert await cache.get("stale") is None
        os.kill(own_redis.pid, signal.SIGCONT)
        await eventually(lambda: not cache.degraded)
        assert await cache.get("stale") is None
        assert await other.get("stale") is None
        assert await other.get("kept") == b"kept"


async def test_who_comes_back_late_has_others_start_anew(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    """They may keep what it could not delete in time."""
    async with (
        Supervisor() as elsewhere,
        open_cache(HASTY, own_redis.url, supervisor) as cache,
        open_cache(PATIENT, own_redis.url, elsewhere) as other,
    ):
        other.subscribe("news", lambda _: None)
        # Two channels, of which each is heard of.
        await eventually(lambda: other.era == 2, 20.0)
        os.kill(own_redis.pid, signal.SIGSTOP)
        await cache.delete("stale")
        assert cache.degraded
        os.kill(own_redis.pid, signal.SIGCONT)
        await eventually(lambda: other.era == 3, 20.0)
        assert not other.degraded


async def test_a_redis_that_falls_silent_is_noticed_though_nobody_asks_it(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    async with open_cache(HASTY, own_redis.url, supervisor) as cache:
        cache.subscribe("news", lambda _: None)
        await eventually(lambda: cache.era > 0, 20.0)
        os.kill(own_redis.pid, signal.SIGSTOP)
        await eventually(lambda: cache.degraded, 20.0)
        os.kill(own_redis.pid, signal.SIGCONT)


async def test_losing_redis_for_good_costs_no_error(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    async with open_cache(PATIENT, own_redis.url, supervisor) as cache:
        await cache.set("key", b"old", ttl=600)
        os.kill(own_redis.pid, signal.SIGKILL)
        era = cache.era
        await eventually(lambda: cache.degraded)
        assert cache.era > era
        await cache.set("key", b"new", ttl=600)
        assert await cache.get("key") == b"new"


async def test_a_late_cache_serves_at_once_and_forgets_nothing_it_wrote(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    async with open_cache(PATIENT, own_redis.url, supervisor) as before:
        await before.set("key", b"old", ttl=600)
    async with Supervisor() as other:
        async with open_cache(PATIENT, own_redis.url, other, late=True) as cache:
            assert cache.degraded
            await cache.set("key", b"new", ttl=600)
            assert await cache.get("key") == b"new"
            await eventually(lambda: not cache.degraded)
            assert await cache.get("key") != b"old"
            await cache.set("more", b"more", ttl=600)
            assert await cache.get("more") == b"more"


async def test_an_unreachable_redis_refuses_the_start(supervisor: Supervisor) -> None:
    with pytest.raises(StartupError, match="Redis cannot be reached"):
        async with open_cache(CacheConfig(), "redis://127.0.0.1:1/0", supervisor):
            pass


async def test_an_unreachable_redis_may_be_done_without(supervisor: Supervisor) -> None:
    config = CacheConfig(required=False)
    async with open_cache(config, "redis://127.0.0.1:1/0", supervisor) as cache:
        assert cache.degraded


async def test_wrong_credentials_refuse_the_start(
    own_redis: RedisServer, supervisor: Supervisor
) -> None:
    url = own_redis.url.replace("unix://", "unix://someone:wrong@")
    with pytest.raises(StartupError, match="refuses the credentials"):
        async with open_cache(PATIENT, url, supervisor):
            pass


async def test_a_url_that_is_none_is_refused(supervisor: Supervisor) -> None:
    with pytest.raises(StartupError, match="Redis URL cannot be used"):
        async with open_cache(CacheConfig(), "mysql://somewhere", supervisor):
            pass


def test_the_local_cache_is_bounded_and_forgets_the_least_recently_used(
    clock: ManualClock,
) -> None:
    local = LocalCache(clock, entries=2)
    local.set("a", b"1", ttl=10)
    local.set("b", b"2", ttl=10)
    assert local.get("a") == b"1"
    local.set("c", b"3", ttl=10)
    assert (local.get("a"), local.get("b"), local.get("c")) == (b"1", None, b"3")
    clock.advance(11)
    assert local.get("a") is None
