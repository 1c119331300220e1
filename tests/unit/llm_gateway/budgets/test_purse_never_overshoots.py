"""Whatever callers, processes and the database do: what is spent never exceeds the limit."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.models import BudgetTerms
from agentcore.llm_gateway.budgets.purse import Purse
from agentcore.llm_gateway.budgets.store import ABANDONED, BudgetStore
from tests.fakes.clock import ManualClock
from tests.fakes.treasury import FaultyTreasury

ACME = ("acme", "k1")
LIMITS = {"tenant": Decimal(2), "key": Decimal(1)}
FAULTS = ("", "", "", "", "", "", "away", "unknown")


@dataclass
class World:
    """Several processes on one database, some of which die."""

    store: BudgetStore
    clock: ManualClock
    chance: random.Random
    purses: list[Purse] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    answered: int = 0

    async def begin(self) -> Purse:
        treasury = FaultyTreasury(self.store)
        treasury.faults = [self.chance.choice(FAULTS) for _ in range(40)]
        purse = Purse(
            treasury,
            self.store.changed,
            clock=self.clock,
            ids=Ids(),
            outage_share=Decimal(0),
            alerted=lambda _: None,
        )
        await purse.refresh()
        return purse

    async def call(self, purse: Purse) -> None:
        """One call that costs at most what was reserved for it, or is cancelled on the way."""
        worst = Decimal(self.chance.randrange(1, 120)) / 1000
        cost = worst * Decimal(self.chance.choice(["0", "1", "1", "0.25"]))
        try:
            reservation = await purse.reserve(purse.budgets_of(*ACME), worst)
        except AgentCoreError:
            return
        self.answered += 1
        # The provider has it from here on, whatever becomes of this process.
        self.spent += cost
        try:
            await asyncio.sleep(0.002 * self.chance.random())
        finally:
            reservation.settle(cost)

    async def caller(self, calls: int) -> None:
        for _ in range(calls):
            await self.call(self.chance.choice(self.purses))

    async def trouble(self) -> None:
        """Tells, leaves, dies, begins anew, and lets time pass."""
        for _ in range(12):
            await asyncio.sleep(0.002)
            self.clock.advance(2)
            what = self.chance.choice(["tell", "tell", "tell", "die", "leave", "later"])
            place = self.chance.randrange(len(self.purses))
            if what == "die":
                self.purses[place] = await self.begin()
            elif what == "later":
                self.clock.advance(ABANDONED.total_seconds() + 1)
            else:
                await self.say(self.purses[place], leaving=what == "leave")

    async def say(self, purse: Purse, *, leaving: bool) -> None:
        try:
            await (purse.close() if leaving else purse.tell())
        except StorageUnavailable:
            return


@given(seed=st.integers(0, 2**32), processes=st.integers(1, 4), callers=st.integers(1, 12))
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_budget_is_ever_overshot(
    database: Database, seed: int, processes: int, callers: int
) -> None:
    clock = ManualClock()
    world = World(BudgetStore(lambda: database), clock, random.Random(seed))
    for scope, limit in LIMITS.items():
        terms = BudgetTerms.model_validate(
            {
                "scope": scope,
                "target": "k1" if scope == "key" else "",
                "period": "total",
                "limit_usd": limit,
            }
        )
        before = await world.store.page(tenant=None, now=clock.now(), limit=9, cursor="")
        for old in before.budgets:
            if old.scope == scope:
                await world.store.delete(old.id, tenant=None, now=clock.now())
        await world.store.set("acme", terms, new_id=Ids().new(), now=clock.now())
    world.purses = [await world.begin() for _ in range(processes)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.caller(15)) for _ in range(callers)]
        group.create_task(world.trouble())
        await asyncio.sleep(0.01)
        tasks[0].cancel()
    assert world.spent <= LIMITS["key"]
    page = await world.store.page(tenant=None, now=clock.now(), limit=9, cursor="")
    for told in page.budgets:
        assert told.spent_usd + told.held_usd + told.lost_usd <= told.limit_usd


async def test_many_callers_over_three_processes_use_all_of_it_and_no_more(
    database: Database,
) -> None:
    """Nothing goes wrong here, so nearly everything can be spent."""
    clock = ManualClock()
    world = World(BudgetStore(lambda: database), clock, random.Random(7))
    terms = BudgetTerms.model_validate({"scope": "tenant", "period": "day", "limit_usd": 1})
    await world.store.set("acme", terms, new_id=Ids().new(), now=clock.now())
    cent = Decimal("0.01")
    for _ in range(3):
        purse = Purse(
            world.store,
            world.store.changed,
            clock=clock,
            ids=Ids(),
            outage_share=Decimal(0),
            alerted=lambda _: None,
        )
        await purse.refresh()
        world.purses.append(purse)

    async def spends(purse: Purse) -> None:
        for _ in range(8):
            try:
                reservation = await purse.reserve(purse.budgets_of(*ACME), cent)
            except AgentCoreError:
                return
            world.spent += cent
            reservation.settle(cent)

    async with asyncio.TaskGroup() as group:
        for n in range(24):
            group.create_task(spends(world.purses[n % 3]))
    assert Decimal("0.9") <= world.spent <= 1
    await asyncio.gather(*(purse.close() for purse in world.purses))
    page = await world.store.page(tenant=None, now=clock.now(), limit=9, cursor="")
    assert page.budgets[0].spent_usd == world.spent
