from __future__ import annotations

import asyncio

import pytest

from agentcore.ace.content import Bullet, Draft
from agentcore.ace.errors import EvolutionBudgetExhausted, EvolutionClaimLost, EvolutionRateLimited
from agentcore.ace.evolution import LEASE, EvolutionMark
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.kit.errors import Unavailable
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import adding, proposing, reflecting

ERROR = "missing field 'to'"


def bullets(playbook: ContextPlaybook) -> dict[str, Bullet]:
    return {place.bullet.id: place.bullet for place in Draft.of(playbook.content).bullets()}


async def with_bullet(world: ContextWorld) -> ContextPlaybook:
    operation: JsonObject = {"op": "ADD", "section": "checks", "text": "Check twice."}
    return await world.taught(operation)


async def test_what_a_bullet_said_before_it_was_rewritten_is_not_counted(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    first = await with_bullet(world)
    await world.captured(6, metadata=world.stamp_of(playbook.playbook_id, "b1"))
    rewriting: JsonObject = {"op": "UPDATE", "id": "b1", "text": "Check three times."}
    await world.taught(rewriting, delta_id="second")
    stamp = world.stamp_of(playbook.playbook_id, "b1", version=3)
    await world.captured(4, success=True, metadata=stamp)
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    bullet = bullets(evolved.playbook)["b1"]
    assert (first.version, bullet.helpful, bullet.harmful) == (2, 4, 0)


async def test_an_evolution_leaves_the_snapshot_that_is_due(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.aged("agent-123", 49)
    await world.captured(10, metadata=world.stamp_of(playbook.playbook_id, "b1"))
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert evolved.playbook.version == 50
    found = await world.store.run(lambda unit: unit.deltas.start_of(playbook.playbook_id, 50))
    assert found is not None
    assert (found.kind, found.base_version) == ("snapshot", 50)
    assert found.delta.changes == evolved.playbook.content


async def test_traces_become_counts_and_rules(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await with_bullet(world)
    stamp = world.stamp_of(playbook.playbook_id, "b1")
    await world.captured(7, success=True, metadata=stamp)
    made = await world.captured(3, error_message=ERROR, metadata=stamp)
    world.model.answers = [
        proposing(
            adding("Name the receiver.", quote=ERROR),
            adding("name the RECEIVER", quote=ERROR, confidence=0.8),
            adding("Be careful.", quote="said nowhere"),
            adding("Guess.", quote=ERROR, confidence=0.2),
        )
    ]
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert (evolved.generated, evolved.applied, evolved.more) == (4, 1, False)
    found = bullets(evolved.playbook)
    assert (found["b1"].helpful, found["b1"].harmful) == (7, 3)
    assert found["b2"].text == "Name the receiver."
    assert set(found["b2"].evidence) <= {trace.trace_id for trace in made}
    status = await world.contexts.evolution_status("agent-123")
    assert status.model_dump() == {
        "agent_id": "agent-123",
        "last_evolution": made[-1].captured_at,
        "pending_traces": 0,
        "deltas_generated": 4,
        "deltas_applied": 1,
        "total_cost": 0.001,
        "status": "idle",
    }
    entries = await world.contexts.deltas("agent-123")
    assert sorted((entry.kind, entry.gate.get("reason", "")) for entry in entries) == [
        ("counters", "accepted"),
        ("delta", "accepted"),
        ("delta", "accepted"),
        ("delta", "confidence"),
        ("delta", "ungrounded"),
        ("seed", ""),
    ]
    assert world.sample("ace_deltas_generated_total") == 4
    assert world.sample("ace_deltas_applied_total") == 1
    assert world.sample("ace_evolution_duration_seconds_count") == 1


async def test_no_trace_is_used_twice(world: ContextWorld, playbook: ContextPlaybook) -> None:
    await with_bullet(world)
    stamp = world.stamp_of(playbook.playbook_id, "b1")
    await world.captured(10, success=True, metadata=stamp)
    assert await world.evolution.evolve("agent-123") is not None
    assert await world.evolution.evolve("agent-123") is None
    await world.captured(10, success=True, metadata=stamp)
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert bullets(evolved.playbook)["b1"].helpful == 20


async def test_too_few_traces_wait_unless_forced(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(9)
    await world.contexts.trigger_evolution("agent-123")
    assert await world.evolution.evolve("agent-123") is None
    assert await world.evolution.waiting(10) == []
    await world.contexts.trigger_evolution("agent-123", force=True)
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert evolved.playbook.version == 1
    assert len(world.model.asked) == 1


async def test_nothing_at_all_is_not_sent_to_the_model(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.contexts.trigger_evolution("agent-123", force=True)
    assert await world.evolution.evolve("agent-123") is None
    assert world.model.asked == []


async def test_traces_that_come_meanwhile_are_left_for_the_next_time(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(10)
    world.model.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        evolving = group.create_task(world.evolution.evolve("agent-123"))
        while not world.model.asked:
            await asyncio.sleep(0.001)
        assert (await world.contexts.evolution_status("agent-123")).status == "processing"
        assert await world.evolution.evolve("agent-123") is None
        await world.captured(2)
        world.clock.advance(1)
        await world.contexts.trigger_evolution("agent-123", force=True)
        world.model.gate.set()
    assert evolving.result() is not None
    status = await world.contexts.evolution_status("agent-123")
    assert (status.pending_traces, status.status) == (2, "idle")
    assert await world.evolution.waiting(10) == ["agent-123"]
    assert await world.evolution.evolve("agent-123") is not None


async def test_owners_may_write_while_the_model_thinks(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(10, error_message=ERROR)
    world.model.answers = [proposing(adding("Name the receiver.", quote=ERROR))]
    world.model.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        evolving = group.create_task(world.evolution.evolve("agent-123"))
        while not world.model.asked:
            await asyncio.sleep(0.001)
        await with_bullet(world)
        world.model.gate.set()
    evolved = evolving.result()
    assert evolved is not None
    texts = {bullet.text for bullet in bullets(evolved.playbook).values()}
    assert texts == {"Check twice.", "Name the receiver."}


async def test_a_failure_is_on_record_and_tried_again_after_a_rest(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(100)
    world.model.answers = [Unavailable("down"), proposing()]
    with pytest.raises(Unavailable):
        await world.evolution.evolve("agent-123")
    status = await world.contexts.evolution_status("agent-123")
    assert (status.status, status.pending_traces) == ("failed", 100)
    stored = await world.store.run(lambda unit: unit.playbooks.of("agent-123"))
    assert stored is not None
    assert EvolutionMark.of(stored).error == "unavailable"
    assert await world.evolution.waiting(10) == []
    world.clock.advance(61)
    assert await world.evolution.waiting(10) == ["agent-123"]
    assert await world.evolution.evolve("agent-123") is not None
    assert (await world.contexts.evolution_status("agent-123")).status == "idle"


async def test_what_fails_again_and_again_rests_longer_each_time(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(100)
    world.model.answers = [Unavailable("down")]
    rests: list[float] = []
    for _ in range(8):
        world.clock.advance(3601)
        # The breaker has a rest of its own, which is over by then.
        with pytest.raises(Unavailable):
            await world.evolution.evolve("agent-123")
        stored = await world.store.run(lambda unit: unit.playbooks.of("agent-123"))
        assert stored is not None
        mark = EvolutionMark.of(stored)
        assert mark.resting_until is not None
        rests.append((mark.resting_until - world.clock.now()).total_seconds())
    assert rests == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    world.clock.advance(3601)
    world.model.answers = [proposing()]
    assert await world.evolution.evolve("agent-123") is not None
    stored = await world.store.run(lambda unit: unit.playbooks.of("agent-123"))
    assert stored is not None
    assert EvolutionMark.of(stored) == EvolutionMark()


async def test_a_fault_of_our_own_is_on_record_too_and_raised(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    def bug(prompt: str) -> str:
        raise ZeroDivisionError

    await world.captured(10)
    world.model.answers = [bug]
    with pytest.raises(ZeroDivisionError):
        await world.evolution.evolve("agent-123")
    assert (await world.contexts.evolution_status("agent-123")).status == "failed"


async def test_a_spent_budget_stops_evolution(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    poor = ContextWorld(
        world.database,
        world.cache,
        world.supervisor,
        world.clock,
        ACEConfig(ace_monthly_budget_usd=0),
    )
    await poor.captured(10)
    with pytest.raises(EvolutionBudgetExhausted):
        await poor.evolution.evolve("agent-123")
    assert poor.model.asked == []


async def test_who_asks_too_often_waits_and_has_not_failed(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    slow = ACEConfig(ace_max_llm_calls_per_minute=2)
    waiting = ContextWorld(world.database, world.cache, world.supervisor, world.clock, slow)
    await waiting.captured(100)
    assert await waiting.evolution.evolve("agent-123") is not None
    await waiting.captured(100)
    with pytest.raises(EvolutionRateLimited):
        await waiting.evolution.evolve("agent-123")
    assert (await waiting.contexts.evolution_status("agent-123")).status == "idle"
    assert await waiting.evolution.waiting(10) == ["agent-123"]


async def test_a_bullet_that_made_no_difference_is_counted_as_neutral(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await with_bullet(world)
    await world.captured(10, success=True, metadata=world.stamp_of(playbook.playbook_id, "b1"))
    world.model.answers = [reflecting(neutral="b1")]
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    bullet = bullets(evolved.playbook)["b1"]
    assert (bullet.helpful, bullet.harmful, bullet.neutral) == (10, 0, 1)


async def test_a_model_whose_lessons_were_bad_is_believed_less(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    nouns = ("invoice", "refund", "parcel", "voucher", "complaint", "contract")
    for noun in nouns:
        await world.captured(10, error_message=ERROR)
        world.model.answers = [proposing(adding(f"Archive each {noun}.", quote=ERROR))]
        evolved = await world.evolution.evolve("agent-123")
        assert evolved is not None
    applied = [
        entry for entry in await world.contexts.history("agent-123") if entry.kind == "delta"
    ]
    assert len(applied) == len(nouns)
    await world.contexts.rollback("agent-123", 1)
    await world.captured(10, error_message=ERROR)
    world.model.answers = [proposing(adding("Sort by date.", quote=ERROR))]
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert (evolved.generated, evolved.applied) == (1, 0)
    refused = [one for one in await world.contexts.deltas("agent-123") if not one.delta.applied]
    assert [(one.delta.confidence, one.gate["reason"]) for one in refused] == [(0.9, "confidence")]
    calibrated = refused[0].gate["calibrated"]
    assert isinstance(calibrated, float)
    assert calibrated < 0.7


async def test_a_claim_that_fell_silent_is_taken_over(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await with_bullet(world)
    stamp = world.stamp_of(playbook.playbook_id, "b1")
    await world.captured(10, success=True, metadata=stamp)
    world.model.gate = asyncio.Event()
    other = ContextWorld(world.database, world.cache, world.supervisor, world.clock)
    async with asyncio.TaskGroup() as group:
        silent = group.create_task(_outcome(world))
        while not world.model.asked:
            await asyncio.sleep(0.001)
        assert await other.evolution.evolve("agent-123") is None
        world.clock.advance(LEASE.total_seconds() + 1)
        evolved = await other.evolution.evolve("agent-123")
        world.model.gate.set()
    assert evolved is not None
    assert isinstance(silent.result(), EvolutionClaimLost)
    found = await other.store.run(lambda unit: unit.playbooks.of("agent-123"))
    assert found is not None
    assert bullets(found)["b1"].helpful == 10
    assert (await other.contexts.evolution_status("agent-123")).status == "idle"


async def _outcome(world: ContextWorld) -> object:
    try:
        return await world.evolution.evolve("agent-123")
    except EvolutionClaimLost as lost:
        return lost


async def test_a_cancelled_evolution_can_start_again_at_once(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(10)
    world.model.gate = asyncio.Event()
    task = world.supervisor.spawn("evolving", _ignored(world))
    while not world.model.asked:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert (await world.contexts.evolution_status("agent-123")).status == "idle"
    world.model.gate.set()
    assert await world.evolution.evolve("agent-123") is not None


async def _ignored(world: ContextWorld) -> None:
    await world.evolution.evolve("agent-123")


async def test_traces_without_a_playbook_found_one(world: ContextWorld) -> None:
    await world.agents.ensure("agent-123", ALICE)
    await world.captured(10, error_message=ERROR)
    world.model.answers = [proposing(adding("Name the receiver.", quote=ERROR))]
    evolved = await world.evolution.evolve("agent-123")
    assert evolved is not None
    assert evolved.playbook.version == 2
    assert [e.kind for e in await world.contexts.history("agent-123")] == ["delta", "seed"]
