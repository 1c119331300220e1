from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.playbook_cache import CHANNEL, PlaybookCache
from agentcore.kit.cache import Cache, open_cache
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.ids import Ids
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.playbooks import made_playbook
from tests.fakes.wired_cache import Wire, WiredCache

PATIENCE = 100.0


def version(number: int, playbook_id: str = "p") -> ContextPlaybook:
    return made_playbook({"v": number}, version=number, playbook_id=playbook_id)


def process(cache: Cache, clock: ManualClock, *, enabled: bool = True) -> PlaybookCache:
    config = ACEConfig(ace_enable_cache=enabled)
    metrics = ACEMetrics(CollectorRegistry())
    return PlaybookCache(config, cache, clock=clock, ids=Ids(clock), metrics=metrics)


async def seen(cache: PlaybookCache) -> ContextPlaybook | None:
    found = await cache.get("a")
    return None if found is None else found.playbook


async def refused(cache: PlaybookCache, playbook: ContextPlaybook) -> None:
    """What ``cache`` knows to be old does not come back into it."""
    assert await seen(cache) is None
    await cache.fill("north", playbook)
    assert await seen(cache) is None


@pytest.fixture
def wire(clock: ManualClock) -> Wire:
    return Wire(clock)


@pytest.fixture
def one(wire: Wire, clock: ManualClock) -> PlaybookCache:
    return process(WiredCache(wire), clock)


@pytest.fixture
def other(wire: Wire, clock: ManualClock) -> PlaybookCache:
    """Another process on the same Redis."""
    return process(WiredCache(wire), clock)


async def test_what_was_written_is_read(one: PlaybookCache, other: PlaybookCache) -> None:
    assert await seen(one) is None
    await one.written("north", version(2))
    assert await seen(one) == version(2)
    found = await other.get("a")
    assert found is not None
    assert (found.tenant, found.playbook) == ("north", version(2))


async def test_a_read_is_kept_in_memory(one: PlaybookCache, wire: Wire) -> None:
    await one.fill("north", version(2))
    wire.kept.clear()
    assert await seen(one) == version(2)


async def test_nothing_older_than_the_last_write_of_this_process_is_served(
    one: PlaybookCache, other: PlaybookCache
) -> None:
    await one.written("north", version(4))
    await one.overtaken(version(5))
    await other.fill("north", version(4))
    assert await seen(one) is None
    await one.fill("north", version(4))
    assert await seen(one) is None
    await one.fill("north", version(5))
    assert await seen(one) == version(5)


async def test_a_slow_writer_does_not_lower_the_floor(one: PlaybookCache) -> None:
    await one.written("north", version(5))
    await one.written("north", version(4))
    assert await seen(one) == version(5)


async def test_while_anybody_writes_nothing_cached_counts(one: PlaybookCache) -> None:
    await one.written("north", version(1))
    with one.writing("a"):
        with one.writing("a"):
            assert await seen(one) is None
        await one.fill("north", version(1))
        assert await seen(one) is None
        await one.written("north", version(2))
    assert await seen(one) == version(2)


async def test_other_processes_hear_of_writes(
    one: PlaybookCache, other: PlaybookCache, wire: Wire
) -> None:
    await other.fill("north", version(4))
    await one.written("north", version(5))
    assert await seen(other) == version(4)
    wire.deliver()
    assert await seen(other) == version(5)
    await one.overtaken(version(6))
    wire.deliver()
    await refused(other, version(5))


async def test_a_late_echo_of_a_deletion_changes_nothing(
    one: PlaybookCache, other: PlaybookCache, wire: Wire
) -> None:
    await one.written("north", version(5))
    await other.fill("north", version(5))
    await one.deleted("a")
    await one.written("north", version(1, "q"))
    assert await seen(one) == version(1, "q")
    wire.deliver()
    wire.deliver()
    assert await seen(one) == version(1, "q")
    assert await seen(other) is None
    wire.deliver()
    assert await seen(other) == version(1, "q")


async def test_a_deleted_playbook_does_not_come_back(
    one: PlaybookCache, other: PlaybookCache
) -> None:
    await one.written("north", version(5))
    await one.deleted("a")
    await other.fill("north", version(5))
    await refused(one, version(5))


async def test_late_news_do_not_lower_what_this_process_has_acknowledged(
    one: PlaybookCache, other: PlaybookCache, wire: Wire
) -> None:
    await other.written("north", version(7))
    stale = wire.kept.copy()
    await one.written("north", version(1, "q"))
    wire.deliver()
    # A slow process puts back what was there before.
    wire.kept.update(stale)
    await refused(one, version(7))


async def test_news_of_a_predecessor_do_not_keep_a_new_playbook_out(
    one: PlaybookCache, other: PlaybookCache, wire: Wire
) -> None:
    await other.written("north", version(7))
    await other.deleted("a")
    wire.deliver()
    wire.deliver()
    await one.written("north", version(1, "q"))
    assert await seen(one) == version(1, "q")


async def test_what_nobody_hears_of_is_stale_for_its_time_to_live_at_most(
    one: PlaybookCache, other: PlaybookCache, clock: ManualClock, wire: Wire
) -> None:
    await other.fill("north", version(4))
    clock.advance(200)
    # From Redis, where it has been for a while: its time goes on, it does not begin anew.
    assert await seen(one) == version(4)
    clock.advance(99)
    assert await seen(one) == version(4)
    clock.advance(2)
    assert await seen(one) is None
    assert wire.under_way == []


async def test_who_may_have_missed_messages_asks_again(
    clock: ManualClock, wire: Wire, other: PlaybookCache
) -> None:
    cache = WiredCache(wire)
    one = process(cache, clock)
    await one.fill("north", version(4))
    await other.written("north", version(5))
    wire.under_way.clear()
    assert await seen(one) == version(4)
    cache.miss_messages()
    assert await seen(one) == version(5)


async def test_what_cannot_be_read_is_a_miss_and_no_news(one: PlaybookCache, wire: Wire) -> None:
    await wire.processes[0].set("ace:playbook:a", b"{", ttl=10)
    assert await seen(one) is None
    for message in (b"{", b"[]", b'{"agent_id": "a"}'):
        wire.processes[0].hear(CHANNEL, message)
    await one.fill("north", version(1))
    assert await seen(one) == version(1)


async def test_cache_invalidation_and_ttl(clock: ManualClock) -> None:
    memory = process(Cache(None, namespace="t", timeout=1, clock=clock), clock)
    await memory.written("north", version(1))
    await memory.written("north", version(2))
    assert await seen(memory) == version(2)
    clock.advance(299)
    assert await seen(memory) == version(2)
    clock.advance(2)
    assert await seen(memory) is None


async def test_a_disabled_cache_is_not_used(wire: Wire, clock: ManualClock) -> None:
    off = process(WiredCache(wire), clock, enabled=False)
    await off.written("north", version(1))
    await off.fill("north", version(1))
    assert await seen(off) is None
    assert wire.kept == {}


async def test_processes_on_a_real_server_tell_each_other(
    servers: EmbeddedServers, cache: Cache, supervisor: Supervisor, clock: ManualClock
) -> None:
    config = CacheConfig(namespace=cache.name("").rstrip(":"))
    async with Supervisor() as elsewhere:
        async with open_cache(config, servers.redis_url, elsewhere) as second:
            one, other = process(cache, clock), process(second, clock)
            await one.written("north", version(1))
            assert await seen(other) == version(1)
            number = 1
            async with asyncio.timeout(PATIENCE):
                # Until both have subscribed, news are not heard and memory is not trusted for long.
                while (found := await seen(other)) is None or found.version < number or number < 5:
                    number += 1
                    await one.written("north", version(number))
                    await asyncio.sleep(0.01)


ACTIONS = st.tuples(
    st.sampled_from(["commit", "acknowledge", "read", "fill", "deliver", "lose", "wait"]),
    st.integers(0, 1),
    st.integers(0, 3),
)


@given(st.lists(ACTIONS, max_size=40))
def test_in_any_order_of_events_nothing_older_than_acknowledged_is_served(
    actions: list[tuple[str, int, int]],
) -> None:
    asyncio.run(lived(actions))


async def lived(actions: list[tuple[str, int, int]]) -> None:
    clock = ManualClock()
    wire = Wire(clock)
    processes = [process(WiredCache(wire), clock) for _ in range(2)]
    newest = 3
    committed = [[2], [3]]
    read = [[1], [1]]
    acknowledged = [0, 0]
    for action, who, which in actions:
        here = processes[who]
        if action == "commit":
            newest += 1
            committed[who].append(newest)
        elif action == "acknowledge" and committed[who]:
            number = committed[who].pop(which % len(committed[who]))
            await here.written("north", version(number))
            acknowledged[who] = max(acknowledged[who], number)
        elif action == "read":
            read[who].append(newest)
        elif action == "fill" and read[who]:
            await here.fill("north", version(read[who].pop(which % len(read[who]))))
        elif action == "deliver" and wire.under_way:
            wire.deliver(which % len(wire.under_way))
        elif action == "lose" and wire.under_way:
            del wire.under_way[which % len(wire.under_way)]
        elif action == "wait":
            clock.advance(which * 40)
        found = await seen(here)
        assert found is None or found.version >= acknowledged[who]
