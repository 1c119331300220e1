from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from agentcore.ace.context_manager import ContextManager
from agentcore.ace.errors import (
    EvolutionQueueFull,
    PlaybookExists,
    PlaybookNotFound,
    TraceIdReused,
    UnknownAgent,
)
from agentcore.ace.evolution import EvolutionMark
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.kit.cache import Cache
from agentcore.kit.errors import NotFound
from agentcore.kit.security import Principal
from tests.fakes.context import ALICE, MALLORY, READ_WRITE, ContextWorld
from tests.fakes.playbooks import made_delta


def delta(world: ContextWorld, *goals: str, delta_id: str = "delta-789") -> ContextDelta:
    return made_delta(
        {"goals": list(goals)},
        delta_id=delta_id,
        playbook_id="pb-456",
        confidence=0.85,
        generated_at=world.clock.now(),
    )


async def test_create_playbook_success(world: ContextWorld) -> None:
    made = await world.contexts.create_playbook(
        "agent-123", {"goals": ["solve customer issues"]}, principal=ALICE
    )
    assert (made.agent_id, made.version) == ("agent-123", 1)
    assert made.content == {"goals": ["solve customer issues"]}
    owner = await world.agents.owner("agent-123")
    assert owner is not None
    assert owner.tenant == "north"
    with pytest.raises(PlaybookExists):
        await world.contexts.create_playbook("agent-123", {}, principal=ALICE)


async def test_agentcore_itself_does_not_invent_agents(world: ContextWorld) -> None:
    with pytest.raises(UnknownAgent):
        await world.contexts.create_playbook("agent-123", {})


async def test_get_playbook_cache_hit(world: ContextWorld, playbook: ContextPlaybook) -> None:
    await world.contexts.get_playbook("agent-123")
    took = []
    for _ in range(100):
        began = time.perf_counter()
        assert await world.contexts.get_playbook("agent-123", principal=ALICE) == playbook
        took.append(time.perf_counter() - began)
    # Those that nothing came between.
    assert min(took) < 0.05
    assert world.sample("ace_cache_hits_total") == 101
    assert world.sample("ace_playbook_retrieval_duration_seconds_count") == 101


async def test_update_playbook_version_increment(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    updated = await world.contexts.update_playbook("agent-123", delta(world, "be proactive"))
    assert updated.version == 2
    assert updated.content == {"goals": ["solve customer issues", "be proactive"]}
    assert await world.contexts.get_playbook("agent-123") == updated


async def test_reads_never_lag_behind_acknowledged_writes(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    acknowledged = 1

    async def write(number: int) -> None:
        nonlocal acknowledged
        made = await world.contexts.update_playbook(
            "agent-123", delta(world, f"goal {number}", delta_id=f"d{number}")
        )
        acknowledged = max(acknowledged, made.version)

    async def read() -> None:
        for _ in range(60):
            least = acknowledged
            assert (await world.contexts.get_playbook("agent-123")).version >= least
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(15):
            group.create_task(write(number))
        for _ in range(4):
            group.create_task(read())


async def test_cache_lost_falls_back_to_database(world: ContextWorld) -> None:
    class Broken(Cache):
        async def get(self, key: str) -> bytes | None:
            return None

        async def set(self, key: str, value: bytes, *, ttl: float) -> None:
            return None

    broken = Broken(None, namespace="t", timeout=1, clock=world.clock)
    slow = ContextWorld(world.database, broken, world.supervisor, world.clock)
    await slow.contexts.create_playbook("agent-123", {}, principal=ALICE)
    await slow.contexts.update_playbook("agent-123", delta(slow, "win"))
    world.clock.advance(slow.config.ace_cache_ttl_seconds)
    assert (await slow.contexts.get_playbook("agent-123")).version == 2
    assert slow.sample("ace_cache_misses_total") == 1


CALLS: dict[str, Callable[[ContextManager, ContextWorld, Principal], Awaitable[object]]] = {
    "create": lambda c, w, p: c.create_playbook("agent-123", {}, principal=p),
    "get": lambda c, w, p: c.get_playbook("agent-123", principal=p),
    "update": lambda c, w, p: c.update_playbook("agent-123", delta(w, "x"), principal=p),
    "apply": lambda c, w, p: c.apply_delta("agent-123", delta(w, "x"), principal=p),
    "rollback": lambda c, w, p: c.rollback("agent-123", 1, principal=p),
    "delete": lambda c, w, p: c.delete_playbook("agent-123", principal=p),
    "render": lambda c, w, p: c.render("agent-123", principal=p),
    "capture": lambda c, w, p: c.capture_execution_trace("agent-123", w.trace(), principal=p),
    "trigger": lambda c, w, p: c.trigger_evolution("agent-123", principal=p),
    "status": lambda c, w, p: c.evolution_status("agent-123", principal=p),
    "history": lambda c, w, p: c.history("agent-123", principal=p),
    "deltas": lambda c, w, p: c.deltas("agent-123", principal=p),
    "content_at": lambda c, w, p: c.content_at("agent-123", 1, principal=p),
    "difference": lambda c, w, p: c.difference("agent-123", 1, 1, principal=p),
}


async def test_no_cross_agent_leak(world: ContextWorld, playbook: ContextPlaybook) -> None:
    uncached = ContextWorld(
        world.database,
        world.cache,
        world.supervisor,
        world.clock,
        ACEConfig(ace_enable_cache=False),
    )
    for there in (world, uncached):
        for name, call in CALLS.items():
            with pytest.raises(NotFound) as caught:
                await call(there.contexts, world, MALLORY)
            stranger = Principal(subject="x", tenant="nowhere", scopes=READ_WRITE)
            with pytest.raises(NotFound) as other:
                await call(there.contexts, world, stranger)
            assert caught.value.detail == other.value.detail, name
    assert await world.contexts.get_playbook("agent-123", principal=ALICE) == playbook


async def test_colleagues_of_the_tenant_share_its_agents(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    colleague = Principal(subject="bob", tenant="north", scopes=READ_WRITE)
    assert await world.contexts.get_playbook("agent-123", principal=colleague) == playbook


async def test_a_deleted_playbook_is_gone_at_once(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.contexts.delete_playbook("agent-123", principal=ALICE)
    with pytest.raises(PlaybookNotFound):
        await world.contexts.get_playbook("agent-123", principal=ALICE)
    with pytest.raises(PlaybookNotFound):
        await world.contexts.delete_playbook("agent-123", principal=ALICE)
    made = await world.contexts.create_playbook("agent-123", {"new": 1}, principal=ALICE)
    assert await world.contexts.get_playbook("agent-123") == made


class Mortal(PlaybookCache):
    """Its process is killed as soon as the database has forgotten the playbook."""

    told = 0

    async def deleted(self, agent_id: str) -> None:
        self.told += 1
        if self.told == 2:
            raise asyncio.CancelledError
        await super().deleted(agent_id)


async def test_nobody_shows_what_was_deleted_by_a_process_that_was_killed(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    other = ContextWorld(world.database, world.cache, world.supervisor, world.clock)
    assert await other.contexts.get_playbook("agent-123") == playbook
    world.playbooks.__class__ = Mortal
    with pytest.raises(asyncio.CancelledError):
        await world.contexts.delete_playbook("agent-123", principal=ALICE)

    async def while_it_is_shown() -> None:
        while True:
            await other.contexts.get_playbook("agent-123")
            await asyncio.sleep(0)

    with pytest.raises(PlaybookNotFound):
        await asyncio.wait_for(while_it_is_shown(), 20)


async def test_traces_are_captured_under_our_clock_each_after_the_last(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    made = await world.captured(3, captured_at=world.clock.now() + timedelta(days=400))
    times = [trace.captured_at for trace in made]
    tick = timedelta(microseconds=1)
    assert times == [world.clock.now(), world.clock.now() + tick, world.clock.now() + 2 * tick]
    status = await world.contexts.evolution_status("agent-123")
    assert (status.pending_traces, status.status) == (3, "idle")


async def test_the_same_trace_counts_once(world: ContextWorld, playbook: ContextPlaybook) -> None:
    once = world.trace(trace_id="trace-111")
    first = await world.contexts.capture_execution_trace("agent-123", once)
    again = await world.contexts.capture_execution_trace("agent-123", once)
    assert first == again
    status = await world.contexts.evolution_status("agent-123")
    assert status.pending_traces == 1
    await world.contexts.create_playbook("agent-9", {}, principal=ALICE)
    other = await world.contexts.capture_execution_trace("agent-9", once)
    assert other.trace_id != first.trace_id
    with pytest.raises(TraceIdReused):
        await world.contexts.capture_execution_trace(
            "agent-9", world.trace(trace_id=first.trace_id)
        )


async def test_enough_traces_queue_the_agent_by_themselves(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    config = ACEConfig(ace_evolution_interval=4)
    busy = ContextWorld(world.database, world.cache, world.supervisor, world.clock, config)
    await busy.captured(3)
    assert len(busy.queue) == 0
    await busy.captured(2)
    assert await busy.queue.take(9, timeout=1) == ["agent-123"]
    assert busy.sample("ace_evolution_requests_total") == 1


async def test_a_full_queue_refuses_triggers_and_loses_no_traces(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    config = ACEConfig(ace_evolution_interval=1, ace_worker_queue_size=1)
    full = ContextWorld(world.database, world.cache, world.supervisor, world.clock, config)
    full.queue.put("somebody")
    await full.captured(1)
    with pytest.raises(EvolutionQueueFull):
        await full.contexts.trigger_evolution("agent-123")
    assert await full.evolution.waiting(10) == ["agent-123"]


async def test_a_trigger_is_remembered_in_the_database(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    assert await world.contexts.trigger_evolution("agent-123", force=True) == 1
    assert await world.contexts.trigger_evolution("agent-123") == 1
    found = await world.contexts.playbook_of(
        delta(world, "x").model_copy(update={"playbook_id": playbook.playbook_id})
    )
    mark = EvolutionMark.of(found)
    assert (mark.force, mark.requested_at) == (True, world.clock.now())
    assert await world.evolution.waiting(10) == ["agent-123"]


async def test_rendering_stamps_what_was_shown(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    rendered = await world.contexts.render("agent-123", "a task", 100, principal=ALICE)
    assert rendered.text == "## PLAYBOOK\n### goals\n- solve customer issues\n"
    assert (rendered.stamp.playbook_id, rendered.stamp.arm) == (playbook.playbook_id, "champion")


async def test_what_anybody_can_see_of_a_write_no_reader_lags_behind(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    assert await world.contexts.get_playbook("agent-123") == playbook
    with world.playbooks.writing("agent-123"):
        written = (await world.ledger.apply("agent-123", delta(world, "x"), None)).playbook
        assert await world.contexts.get_playbook("agent-123") == written
        await world.playbooks.overtaken(written)
    assert await world.contexts.get_playbook("agent-123") == written


async def test_a_removed_agent_leaves_the_cache(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    assert await world.contexts.get_playbook("agent-123") == playbook
    await world.contexts.forget("agent-123")
    assert await world.cache.get("ace:playbook:agent-123") is None
    assert await world.playbooks.get("agent-123") is None


async def test_a_delta_finds_its_playbook(world: ContextWorld, playbook: ContextPlaybook) -> None:
    with pytest.raises(PlaybookNotFound):
        await world.contexts.playbook_of(delta(world, "x"))
