from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from agentcore.kit.db import StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.errors import BudgetExceeded, BudgetHeld, BudgetUnavailable
from agentcore.llm_gateway.budgets.models import Budget, BudgetState
from agentcore.llm_gateway.budgets.purse import (
    CHUNK_SHARE,
    CLOSE_TICKS,
    HEARTBEAT_TICKS,
    IDLE_TICKS,
    Purse,
    Reservation,
)
from agentcore.llm_gateway.budgets.store import ABANDONED, BudgetStore
from tests.fakes.clock import ManualClock
from tests.fakes.treasury import FaultyTreasury
from tests.unit.llm_gateway.budgets.conftest import MakePurse, SetBudget

ACME = ("acme",)
CENT = Decimal("0.01")


async def reserve(
    purse: Purse, amount: str | int | Decimal, spender: tuple[str, ...] = ACME
) -> Reservation:
    return await purse.reserve(purse.budgets_of(*spender), Decimal(amount))


async def spends(purse: Purse, amount: str) -> bool:
    try:
        (await reserve(purse, amount)).settle(Decimal(amount))
    except BudgetUnavailable:
        return False
    return True


async def state(store: BudgetStore, clock: ManualClock) -> BudgetState:
    page = await store.page(tenant=None, now=clock.now(), limit=10, cursor="")
    return page.budgets[0]


async def test_who_has_no_budget_asks_nobody(
    make_purse: MakePurse, store: BudgetStore, set_budget: SetBudget
) -> None:
    await set_budget(1, tenant="rival")
    treasury = FaultyTreasury(store)
    treasury.away = True
    purse = make_purse(treasury)
    await purse.refresh()
    assert purse.budgets_of(*ACME) == ()
    await reserve(purse, 100)


async def test_a_call_counts_against_every_budget_it_falls_under(
    make_purse: MakePurse, set_budget: SetBudget
) -> None:
    await set_budget(1)
    await set_budget(1, period="month")
    await set_budget(1, scope="key", target="k1")
    await set_budget(1, scope="agent", target="a1")
    purse = make_purse()
    await purse.refresh()

    def counted(*spender: str) -> list[str]:
        return [f"{each.scope} {each.period}" for each in purse.budgets_of(*spender)]

    assert counted("acme") == ["tenant day", "tenant month"]
    assert counted("acme", "k1", "a1") == ["tenant day", "tenant month", "key day", "agent day"]
    assert counted("acme", "k2", "a2") == ["tenant day", "tenant month"]
    assert counted("rival", "k1", "a1") == []


async def test_most_calls_ask_nobody(
    make_purse: MakePurse, store: BudgetStore, set_budget: SetBudget
) -> None:
    await set_budget(100)
    treasury = FaultyTreasury(store)
    purse = make_purse(treasury)
    await purse.refresh()
    for _ in range(400):
        (await reserve(purse, "0.004")).settle(Decimal("0.004"))
    assert treasury.draws == 1


async def test_what_is_not_needed_is_given_back(
    make_purse: MakePurse, set_budget: SetBudget
) -> None:
    await set_budget(1)
    purse = make_purse()
    await purse.refresh()
    for _ in range(50):
        (await reserve(purse, "0.9")).settle(CENT / 10)
    for _ in range(20):
        (await reserve(purse, "0.9")).settle(Decimal(0))


async def test_a_refusal_names_budget_spent_limit_and_when_it_begins_anew(
    make_purse: MakePurse, set_budget: SetBudget, clock: ManualClock
) -> None:
    budget = await set_budget("1.5", scope="key", target="k1", period="month")
    purse = make_purse()
    await purse.refresh()
    caller = ("acme", "k1")
    (await reserve(purse, "1.25", caller)).settle(Decimal("1.25"))
    with pytest.raises(BudgetExceeded) as refused:
        await reserve(purse, "0.5", caller)
    assert refused.value.detail == (
        "the month budget of key 'k1' has 1.25 of 1.5 USD spent, and this call may cost 0.5; "
        "it begins anew at 2026-02-01T00:00Z"
    )
    assert refused.value.context["budget"] == str(budget)
    assert refused.value.context["resets_at"] == "2026-02-01T00:00:00+00:00"
    clock.advance(31 * 86_400)
    await reserve(purse, "0.5", caller)


async def test_what_others_hold_is_said_to_be_held(
    make_purse: MakePurse, set_budget: SetBudget
) -> None:
    await set_budget(1, period="total")
    purse, other = make_purse(), make_purse()
    await purse.refresh()
    await other.refresh()
    first = await reserve(purse, "0.8")
    for each in (purse, other):
        with pytest.raises(BudgetHeld) as busy:
            await reserve(each, "0.8")
        assert busy.value.retry_after == 1.0
    first.settle(Decimal("0.5"))
    with pytest.raises(BudgetExceeded, match="does not begin anew"):
        await reserve(purse, "0.8")


async def test_a_refusal_by_one_budget_leaves_the_others_alone(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(10)
    await set_budget("0.1", scope="key", target="k1")
    purse = make_purse()
    await purse.refresh()
    for _ in range(20):
        with pytest.raises(BudgetExceeded):
            await reserve(purse, 9, ("acme", "k1"))
    await purse.close()
    told = await state(store, clock)
    assert (told.spent_usd, told.held_usd) == (0, 0)


async def test_a_soft_budget_counts_tells_once_and_refuses_nobody(
    make_purse: MakePurse,
    set_budget: SetBudget,
    store: BudgetStore,
    clock: ManualClock,
    alerts: list[Budget],
) -> None:
    await set_budget(1, hard=False, alert_share="0.5")
    purses = [make_purse(), make_purse()]
    for purse in purses:
        await purse.refresh()
    for _ in range(3):
        for purse in purses:
            (await reserve(purse, 5)).settle(Decimal("0.2"))
            await purse.tell()
    assert [budget.scope for budget in alerts] == ["tenant"]
    assert (await state(store, clock)).spent_usd == Decimal("1.2")
    clock.advance(86_400)
    (await reserve(purses[0], 5)).settle(Decimal("0.6"))
    await purses[0].tell()
    assert len(alerts) == 2
    told = await state(store, clock)
    assert told.spent_usd == Decimal("0.6")
    assert told.alerted_at == clock.now()


async def test_idle_processes_give_back_so_that_others_can_spend(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    idle, busy = make_purse(), make_purse()
    for purse in (idle, busy):
        await purse.refresh()
    (await reserve(idle, "0.6")).settle(CENT)
    with pytest.raises(BudgetHeld):
        await reserve(busy, "0.9")
    for _ in range(IDLE_TICKS + 1):
        await idle.tell()
    assert (await state(store, clock)).held_usd == 0
    await reserve(busy, "0.9")


async def test_a_busy_process_keeps_no_more_than_a_chunk_of_what_a_burst_needed(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    purse = make_purse()
    await purse.refresh()
    burst = [await reserve(purse, "0.05") for _ in range(12)]
    for each in burst:
        each.settle(CENT)
    await purse.tell()
    told = await state(store, clock)
    assert told.spent_usd == 12 * CENT
    assert told.held_usd == CHUNK_SHARE


async def test_a_closed_account_loses_nothing_and_can_be_opened_again(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    purse = make_purse()
    await purse.refresh()
    for _ in range(3):
        (await reserve(purse, "0.1")).settle(Decimal("0.1"))
        for _ in range(CLOSE_TICKS + 2):
            await purse.tell()
        assert (await state(store, clock)).held_usd == 0
    assert (await state(store, clock)).spent_usd == Decimal("0.3")
    with pytest.raises(BudgetExceeded):
        await reserve(purse, "0.71")


async def test_what_a_dead_process_held_counts_as_spent_until_the_period_ends(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    dead, other = make_purse(), make_purse()
    for purse in (dead, other):
        await purse.refresh()
    (await reserve(dead, "0.3")).settle(Decimal("0.1"))
    await dead.tell()
    # Nobody was told of this.
    (await reserve(dead, "0.2")).settle(Decimal("0.2"))
    clock.advance(ABANDONED.total_seconds() + 1)
    with pytest.raises(BudgetExceeded):
        await reserve(other, "0.75")
    told = await state(store, clock)
    assert told.spent_usd == Decimal("0.1")
    assert told.spent_usd + told.lost_usd >= Decimal("0.3")
    clock.advance(86_400)
    await reserve(other, 1)
    assert (await state(store, clock)).lost_usd == 0


async def test_a_process_that_only_seemed_dead_spends_nothing_twice(
    make_purse: MakePurse, set_budget: SetBudget, clock: ManualClock
) -> None:
    await set_budget(1)
    slow, other = make_purse(), make_purse()
    for purse in (slow, other):
        await purse.refresh()
    held = await reserve(slow, "0.5")
    clock.advance(ABANDONED.total_seconds() + 1)
    (await reserve(other, "0.4")).settle(Decimal("0.4"))
    held.settle(Decimal("0.5"))
    await slow.tell()
    for purse in (slow, other):
        with pytest.raises((BudgetExceeded, BudgetHeld)):
            await reserve(purse, "0.11")


async def test_a_process_that_holds_something_says_that_it_lives(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    alive, other = make_purse(), make_purse()
    for purse in (alive, other):
        await purse.refresh()
    held = await reserve(alive, "0.5")
    for _ in range(10 * HEARTBEAT_TICKS):
        clock.advance(1)
        await alive.tell()
    await reserve(other, CENT)
    assert (await state(store, clock)).lost_usd == 0
    held.settle(CENT)


async def test_calls_over_midnight_count_where_they_began(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    purse = make_purse()
    await purse.refresh()
    old = await reserve(purse, 1)
    clock.advance(86_400)
    new = await reserve(purse, 1)
    old.settle(Decimal(1))
    await purse.tell()
    assert (await state(store, clock)).spent_usd == 0
    new.settle(Decimal(1))
    await purse.tell()
    assert (await state(store, clock)).spent_usd == 1


async def test_a_process_whose_clock_is_behind_follows_the_others(
    store: BudgetStore, set_budget: SetBudget, make_purse: MakePurse, clock: ManualClock, ids: Ids
) -> None:
    await set_budget(1)
    late = ManualClock(clock.now() + timedelta(days=1))
    ahead = Purse(store, store.changed, clock=late, ids=ids, outage_share=Decimal(0), alerted=print)
    await ahead.refresh()
    (await reserve(ahead, "0.9")).settle(Decimal("0.9"))
    behind = make_purse()
    await behind.refresh()
    with pytest.raises(BudgetHeld):
        await reserve(behind, "0.09")
    await asyncio.gather(*(reserve(behind, CENT) for _ in range(5)))


async def test_changed_terms_hold_at_once_and_keep_what_was_spent(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    budget = await set_budget(10)
    purse = make_purse()
    await purse.refresh()
    (await reserve(purse, 2)).settle(Decimal(2))
    assert await set_budget(1) == budget
    await purse.refresh()
    with pytest.raises(BudgetExceeded, match="2 of 1 USD"):
        await reserve(purse, CENT)
    await set_budget(1, hard=False)
    await purse.refresh()
    free = await reserve(purse, CENT)
    await set_budget(3)
    await purse.refresh()
    free.settle(CENT)
    await reserve(purse, "0.9")
    assert await store.delete(budget, tenant="acme", now=clock.now())
    # Until it is noticed as well as afterwards.
    await reserve(purse, 5)
    await purse.refresh()
    assert purse.budgets_of(*ACME) == ()
    await purse.tell()


async def test_without_a_database_a_process_spends_what_it_holds_and_a_stated_share_more(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(100)
    treasury = FaultyTreasury(store)
    purse = make_purse(treasury, outage_share="0.03")
    await purse.refresh()
    (await reserve(purse, 1)).settle(Decimal(1))
    treasury.away = True
    spent = Decimal(0)
    while await spends(purse, "0.5"):
        spent += Decimal("0.5")
    assert spent == Decimal(5)
    with pytest.raises(StorageUnavailable):
        await purse.tell()
    treasury.away = False
    clock.advance(1.5)
    await purse.tell()
    assert (await state(store, clock)).spent_usd == 6
    (await reserve(purse, 94)).settle(Decimal(94))
    with pytest.raises(BudgetExceeded):
        await reserve(purse, CENT)


async def test_while_it_is_away_nobody_waits_for_it_in_turn(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    await set_budget(1)
    treasury = FaultyTreasury(store)
    purse = make_purse(treasury, outage_share="0")
    await purse.refresh()
    treasury.away = True
    refused = await asyncio.gather(
        *(reserve(purse, CENT) for _ in range(20)), return_exceptions=True
    )
    assert {type(each) for each in refused} == {BudgetUnavailable}
    assert treasury.draws == 1
    treasury.away = False
    clock.advance(1.5)
    await reserve(purse, CENT)


@pytest.mark.parametrize("fault", ["unknown", "cancelled"])
async def test_an_answer_that_is_lost_costs_nothing(
    make_purse: MakePurse,
    set_budget: SetBudget,
    store: BudgetStore,
    clock: ManualClock,
    fault: str,
) -> None:
    await set_budget(1)
    treasury = FaultyTreasury(store)
    purse = make_purse(treasury, outage_share="0")
    await purse.refresh()
    treasury.faults = [fault]
    with pytest.raises((BudgetUnavailable, asyncio.CancelledError)):
        await reserve(purse, "0.7")
    clock.advance(1.5)
    (await reserve(purse, "0.7")).settle(Decimal("0.7"))
    await purse.close()
    told = await state(store, clock)
    assert (told.spent_usd, told.held_usd) == (Decimal("0.7"), 0)


async def test_it_tells_and_learns_by_itself(
    make_purse: MakePurse, set_budget: SetBudget, store: BudgetStore, clock: ManualClock
) -> None:
    purse = make_purse()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(purse.run())
        await asyncio.sleep(0)
        await set_budget(1)
        while not purse.budgets_of(*ACME):
            clock.advance(1)
            await asyncio.sleep(0.001)
        (await reserve(purse, CENT)).settle(CENT)
        while not (await state(store, clock)).spent_usd:
            clock.advance(1)
        running.cancel()
