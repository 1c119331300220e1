from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from agentcore.ace.errors import EvolutionBudgetExhausted, EvolutionRateLimited, PlaybookDeleted
from agentcore.ace.journal import Entry, Provenance
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.patience import LONGEST_PAUSE
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.db import CommitUnknown, StorageUnavailable
from tests.fakes.context import ContextWorld


@pytest.fixture
def budget(world: ContextWorld) -> MonthlyBudget:
    config = ACEConfig(ace_monthly_budget_usd=1.0)
    return MonthlyBudget(config, world.store, clock=world.clock, ids=world.ids)


async def booked(budget: MonthlyBudget, playbook: ContextPlaybook, usd: str) -> Entry | None:
    try:
        return await budget.reserve(playbook, Provenance(model="m", cost_usd=Decimal(usd)))
    except EvolutionBudgetExhausted:
        return None


async def test_concurrent_bookings_never_exceed_the_budget(
    budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(booked(budget, playbook, "0.3")) for _ in range(10)]
    assert sum(task.result() is not None for task in tasks) == 3


async def test_settling_frees_what_was_not_used(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    booking = await booked(budget, playbook, "0.9")
    assert booking is not None
    assert await booked(budget, playbook, "0.2") is None
    await budget.settle(booking, "agent-123", Decimal("0.1"), outcome={"deltas": 1})
    assert await booked(budget, playbook, "0.9") is not None
    status = await world.contexts.evolution_status("agent-123")
    assert status.total_cost == 0.1


class Restarting:
    """A store whose database goes away: before the first write, and while the second commits."""

    def __init__(self, world: ContextWorld) -> None:
        self._world = world
        self.runs = 0

    async def run(self, work: Callable[[Unit], Awaitable[None]]) -> None:
        self.runs += 1
        if self.runs == 1:
            raise StorageUnavailable("it restarts")
        await self._world.store.run(work)
        if self.runs == 2:
            raise CommitUnknown("the connection broke")


async def test_settling_waits_for_a_database_that_restarts_and_counts_once(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    booking = await booked(budget, playbook, "0.9")
    assert booking is not None
    store = Restarting(world)
    patient = MonthlyBudget(
        world.config, cast("ContextStore", store), clock=world.clock, ids=world.ids
    )
    settling = asyncio.create_task(
        patient.settle(booking, "agent-123", Decimal("0.1"), outcome={"deltas": 1})
    )
    async with asyncio.timeout(60):
        while not settling.done():
            await asyncio.sleep(0)
            world.clock.advance(LONGEST_PAUSE)
    await settling
    assert store.runs == 3
    assert (await world.contexts.evolution_status("agent-123")).total_cost == 0.1


async def test_a_new_month_has_a_new_budget(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    assert await booked(budget, playbook, "1") is not None
    world.clock.advance(timedelta(days=30).total_seconds())
    assert await booked(budget, playbook, "0.1") is None
    world.clock.advance(timedelta(days=1).total_seconds())
    assert await booked(budget, playbook, "1") is not None


async def test_bookings_are_no_deltas_of_the_playbook(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    booking = await booked(budget, playbook, "0.1")
    assert booking is not None
    assert [entry.kind for entry in await world.contexts.deltas("agent-123")] == ["seed"]
    stored = await world.store.run(lambda unit: unit.deltas.get(booking.delta.delta_id))
    assert stored == replace(booking, delta=stored.delta if stored else booking.delta)


async def test_the_refusal_says_how_much_is_left(
    budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    await booked(budget, playbook, "0.75")
    with pytest.raises(EvolutionBudgetExhausted, match=r"0\.750000 of 1\.00 USD"):
        await budget.reserve(playbook, Provenance(cost_usd=Decimal("0.5")))


async def test_whoever_deletes_a_playbook_gets_no_money_back(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    booking = await booked(budget, playbook, "0.9")
    assert booking is not None
    await world.contexts.delete_playbook("agent-123")
    again = await world.contexts.create_playbook("agent-123", {"goals": ["spend"]})
    assert await booked(budget, again, "0.2") is None
    await budget.settle(booking, "agent-123", Decimal("0.5"), outcome={})
    assert await booked(budget, again, "0.2") is not None


async def test_whoever_deletes_a_playbook_gets_no_calls_back(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    config = ACEConfig(ace_max_llm_calls_per_minute=2)
    hasty = MonthlyBudget(config, world.store, clock=world.clock, ids=world.ids)
    await hasty.reserve(playbook, Provenance(), calls=2)
    await world.contexts.delete_playbook("agent-123")
    again = await world.contexts.create_playbook("agent-123", {"goals": ["hurry"]})
    with pytest.raises(EvolutionRateLimited):
        await hasty.reserve(again, Provenance(), calls=2)


async def test_bookings_of_past_months_are_forgotten(
    world: ContextWorld, budget: MonthlyBudget, playbook: ContextPlaybook
) -> None:
    before = world.clock.now()
    assert await booked(budget, playbook, "1") is not None
    world.clock.advance(timedelta(days=40).total_seconds())
    assert await booked(budget, playbook, "0.5") is not None
    spent = await world.store.run(lambda unit: unit.bookings.spent_since(before))
    assert spent == Decimal("0.5")


async def test_a_playbook_that_is_gone_is_no_fault_of_the_worker(
    budget: MonthlyBudget, world: ContextWorld, playbook: ContextPlaybook
) -> None:
    """What is not one of our errors would end the evolutions of all others."""
    await world.contexts.delete_playbook("agent-123")
    with pytest.raises(PlaybookDeleted, match="has just been deleted"):
        await budget.reserve(playbook, Provenance(cost_usd=Decimal("0.1")))
    spent = await world.store.run(lambda unit: unit.bookings.spent_since(playbook.created_at))
    assert spent == 0
