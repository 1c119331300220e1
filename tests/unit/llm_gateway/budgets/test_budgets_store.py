from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.models import EVER, Holding
from agentcore.llm_gateway.budgets.store import BudgetStore
from tests.fakes.clock import ManualClock
from tests.unit.llm_gateway.budgets.conftest import SetBudget

SHARE = Decimal("0.02")


async def test_setting_again_changes_the_terms(
    store: BudgetStore, set_budget: SetBudget, clock: ManualClock
) -> None:
    first = await set_budget(1)
    assert await set_budget(2, hard=False, alert_share=None) == first
    assert await set_budget(1, period="month") != first
    page = await store.page(tenant="acme", now=clock.now(), limit=9, cursor="")
    told = [(each.period, each.limit_usd, each.hard, each.alert_share) for each in page.budgets]
    assert told == [("day", 2, False, None), ("month", 1, True, Decimal("0.8"))]


async def test_budgets_are_paged_and_belong_to_tenants(
    store: BudgetStore, set_budget: SetBudget, clock: ManualClock
) -> None:
    made = [await set_budget(1, scope="agent", target=f"a{n}") for n in range(5)]
    theirs = await set_budget(1, tenant="rival")
    seen = []
    cursor: str | None = ""
    while cursor is not None:
        page = await store.page(tenant="acme", now=clock.now(), limit=2, cursor=cursor)
        seen += [each.id for each in page.budgets]
        cursor = page.next_cursor
    assert sorted(seen) == sorted(made)
    assert not await store.delete(theirs, tenant="acme", now=clock.now())
    assert await store.delete(made[0], tenant="acme", now=clock.now())
    assert not await store.delete(made[0], tenant="acme", now=clock.now())
    everybody = await store.page(tenant=None, now=clock.now(), limit=50, cursor="")
    assert {each.id for each in everybody.budgets} == {*made[1:], theirs}
    with pytest.raises(InvalidInput, match="is no cursor"):
        await store.page(tenant=None, now=clock.now(), limit=2, cursor="x")


async def test_changes_are_in_the_order_in_which_they_can_be_seen(
    store: BudgetStore, set_budget: SetBudget, clock: ManualClock
) -> None:
    """Whoever has read up to a revision finds all others behind it, whoever commits first."""
    seen: set[object] = set()
    revision = 0

    async def reading() -> None:
        nonlocal revision
        while len(seen) < 30:
            revision, changes = await store.changed(revision)
            seen.update(budget.id for budget, _ in changes)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(reading())
        for n in range(30):
            group.create_task(set_budget(1, scope="agent", target=f"a{n}"))
    page = await store.page(tenant=None, now=clock.now(), limit=50, cursor="")
    assert {each.id for each in page.budgets} == seen
    await store.delete(page.budgets[0].id, tenant=None, now=clock.now())
    _, changes = await store.changed(revision)
    assert [(budget.id, present) for budget, present in changes] == [(page.budgets[0].id, False)]


async def test_what_is_told_late_changes_nothing(
    store: BudgetStore, set_budget: SetBudget, clock: ManualClock
) -> None:
    budget = await set_budget(1, period="total")
    holding = Holding(budget, EVER, Ids().new(), Decimal(0), Decimal(0), 1)
    drawn = await store.draw(holding, need=Decimal("0.5"), share=SHARE, now=clock.now())
    assert drawn is not None
    assert drawn.granted == Decimal("0.52")
    later = holding._replace(granted=Decimal("0.52"), spent=Decimal("0.4"), seq=3)
    await store.tell([later], now=clock.now())
    await store.tell([holding._replace(seq=2)], now=clock.now())
    await store.tell([later], now=clock.now())
    page = await store.page(tenant=None, now=clock.now(), limit=9, cursor="")
    assert (page.budgets[0].spent_usd, page.budgets[0].held_usd) == (
        Decimal("0.4"),
        Decimal("0.12"),
    )
    for _ in range(2):
        await store.close([later._replace(seq=4)])
    page = await store.page(tenant=None, now=clock.now(), limit=9, cursor="")
    assert (page.budgets[0].spent_usd, page.budgets[0].held_usd) == (Decimal("0.4"), 0)


async def test_who_asks_for_a_budget_that_is_gone_is_told_so(
    store: BudgetStore, clock: ManualClock
) -> None:
    nobodys = Holding(Ids().new(), EVER, Ids().new(), Decimal(0), Decimal(0), 1)
    drawn = await store.draw(nobodys, need=Decimal(1), share=SHARE, now=clock.now())
    assert drawn is None
    assert await store.tell([nobodys], now=clock.now()) == []
    await store.close([nobodys])
