from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.playbook_cache import CachedPlaybook, PlaybookCache
from agentcore.kit.cache import Cache
from tests.fakes.clock import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def version(number: int, playbook_id: str = "p") -> CachedPlaybook:
    playbook = ContextPlaybook(
        playbook_id=playbook_id,
        agent_id="a",
        version=number,
        content={"v": number},
        created_at=NOW,
        updated_at=NOW,
    )
    return CachedPlaybook(tenant="north", playbook=playbook)


@pytest.fixture
def one(cache: Cache, clock: ManualClock) -> PlaybookCache:
    return PlaybookCache(ACEConfig(), cache, clock=clock, metrics=ACEMetrics(CollectorRegistry()))


@pytest.fixture
def other(cache: Cache, clock: ManualClock) -> PlaybookCache:
    """Another process on the same Redis."""
    return PlaybookCache(ACEConfig(), cache, clock=clock, metrics=ACEMetrics(CollectorRegistry()))


async def test_what_was_written_is_read(one: PlaybookCache, other: PlaybookCache) -> None:
    assert await one.get("a") is None
    await one.written(version(2))
    assert await one.get("a") == version(2)
    assert await other.get("a") == version(2)


async def test_nothing_older_than_the_last_write_of_this_process_is_served(
    one: PlaybookCache, other: PlaybookCache
) -> None:
    await one.written(version(5))
    await other.fill(version(4))
    assert await one.get("a") is None
    await one.fill(version(4))
    assert await one.get("a") is None
    await one.fill(version(5))
    assert await one.get("a") == version(5)


async def test_a_slow_writer_does_not_lower_the_floor(one: PlaybookCache) -> None:
    await one.written(version(5))
    await one.written(version(4))
    assert await one.get("a") == version(5)


async def test_while_anybody_writes_nothing_cached_counts(one: PlaybookCache) -> None:
    await one.written(version(1))
    with one.writing("a"):
        with one.writing("a"):
            assert await one.get("a") is None
        await one.fill(version(1))
        assert await one.get("a") is None
        await one.written(version(2))
    assert await one.get("a") == version(2)


async def test_who_overtakes_leaves_nothing_older(one: PlaybookCache, other: PlaybookCache) -> None:
    await one.written(version(4))
    await one.overtaken(version(5).playbook)
    assert await other.get("a") is None
    await other.fill(version(4))
    assert await one.get("a") is None
    await one.written(version(6))
    await one.overtaken(version(5).playbook)
    assert await one.get("a") == version(6)


async def test_a_deleted_playbook_does_not_come_back(
    one: PlaybookCache, other: PlaybookCache
) -> None:
    await one.written(version(5))
    await one.deleted("a")
    await other.fill(version(5))
    assert await one.get("a") is None
    await one.written(version(1, "q"))
    assert await one.get("a") == version(1, "q")


async def test_floors_are_dropped_when_nothing_older_can_be_cached(
    one: PlaybookCache, other: PlaybookCache, clock: ManualClock
) -> None:
    await one.written(version(5))
    clock.advance(361)
    await other.fill(version(4))
    assert await one.get("a") == version(4)


async def test_a_cache_entry_that_cannot_be_read_is_a_miss(
    one: PlaybookCache, cache: Cache
) -> None:
    await cache.set("ace:playbook:a", b"{", ttl=10)
    assert await one.get("a") is None


async def test_cache_invalidation_and_ttl(clock: ManualClock) -> None:
    memory = Cache(None, namespace="t", timeout=1, clock=clock)
    playbooks = PlaybookCache(
        ACEConfig(), memory, clock=clock, metrics=ACEMetrics(CollectorRegistry())
    )
    await playbooks.written(version(1))
    await playbooks.written(version(2))
    assert await playbooks.get("a") == version(2)
    clock.advance(299)
    assert await playbooks.get("a") == version(2)
    clock.advance(2)
    assert await playbooks.get("a") is None


async def test_a_disabled_cache_is_not_used(cache: Cache, clock: ManualClock) -> None:
    config = ACEConfig(ace_enable_cache=False)
    off = PlaybookCache(config, cache, clock=clock, metrics=ACEMetrics(CollectorRegistry()))
    await off.written(version(1))
    assert await off.get("a") is None
    assert await cache.get("ace:playbook:a") is None
