from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentcore.ace.errors import EvolutionBudgetExhausted
from agentcore.ace.journal import Provenance
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.paid_model import MOST_CALLS, PaidModel
from agentcore.kit.errors import DeadlineExceeded
from tests.fakes.context import ContextWorld


@pytest.fixture
def model(world: ContextWorld) -> PaidModel:
    return world.paid


async def spent(world: ContextWorld, playbook: ContextPlaybook) -> Decimal:
    return await world.store.run(lambda unit: unit.bookings.spent_since(playbook.created_at))


async def test_all_calls_are_booked_before_the_first_and_settled_after_the_last(
    world: ContextWorld, playbook: ContextPlaybook, model: PaidModel
) -> None:
    dialogue = await model.booked(playbook, Provenance(), private=False)
    upper = await spent(world, playbook)
    price = Decimal("0.15") * (model.prompt_tokens + 4 * model.answer_tokens) / 1_000_000
    assert upper == MOST_CALLS * price
    await dialogue.ask("one")
    await dialogue.ask("two")
    assert await spent(world, playbook) == upper
    await dialogue.close({})
    assert await spent(world, playbook) == dialogue.cost == Decimal("0.002")


async def test_a_call_that_is_cancelled_or_timed_out_stays_booked(
    world: ContextWorld, playbook: ContextPlaybook, model: PaidModel
) -> None:
    dialogue = await model.booked(playbook, Provenance(), private=False)
    upper = await spent(world, playbook)
    world.model.answers = [DeadlineExceeded("slow")]
    with pytest.raises(DeadlineExceeded):
        await dialogue.ask("one")
    assert await spent(world, playbook) == upper
    world.model.gate = asyncio.Event()
    dialogue = await model.booked(playbook, Provenance(), private=False)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(dialogue.ask("one"))
        while not world.model.running:
            await asyncio.sleep(0)
        asking.cancel()
    assert await spent(world, playbook) == 2 * upper


async def test_a_dearer_model_than_configured_raises_the_next_booking(
    world: ContextWorld, playbook: ContextPlaybook, model: PaidModel
) -> None:
    world.model.cost_usd = Decimal(40)
    dialogue = await model.booked(playbook, Provenance(), private=False)
    await dialogue.ask("one")
    await dialogue.close({})
    with pytest.raises(EvolutionBudgetExhausted):
        await model.booked(playbook, Provenance(), private=False)
