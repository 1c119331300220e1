from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.allowance import Allowance
from agentcore.llm_gateway.budgets import purse
from agentcore.llm_gateway.budgets.directory import ReadChanges
from agentcore.llm_gateway.budgets.models import Budget, BudgetTerms
from agentcore.llm_gateway.budgets.purse import Purse, Treasury
from agentcore.llm_gateway.budgets.store import BudgetStore
from agentcore.llm_gateway.models import LLMRequest
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.rates.meters import Meters
from agentcore.llm_gateway.rates.models import Rates
from agentcore.llm_gateway.rates.sources import LocalRequests, LocalTokens
from tests.fakes.clock import ManualClock
from tests.unit.llm_gateway.conftest import Build

SetBudget = Callable[..., Coroutine[object, object, UUID]]
MakePurse = Callable[..., Purse]

ASKED = LLMRequest(
    model="m",
    messages=[{"role": "user", "content": "Hello"}],
    tenant="acme",
    key_id="k1",
    agent="planner",
    max_tokens=1000,
)


@dataclass
class Gate:
    """A router and who guards it."""

    router: HybridRouter
    purse: Purse
    allowance: Allowance
    store: BudgetStore
    clock: ManualClock

    async def ask(self, request: LLMRequest = ASKED) -> str:
        return (await self.router.route_request(request)).provider

    async def spent(self) -> tuple[Decimal, Decimal]:
        """Spent and still reserved."""
        leases = self.purse._leases.values()  # noqa: SLF001 - what no caller can see
        await self.purse.tell()
        page = await self.store.page(tenant=None, now=self.clock.now(), limit=10, cursor="")
        return page.budgets[0].spent_usd, sum((each.reserved for each in leases), Decimal(0))


Open = Callable[..., Gate]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that a busy machine keeps waiting is not away."""
    monkeypatch.setattr(purse, "LONGEST_WAIT", 60)


@pytest.fixture
def store(database: Database) -> BudgetStore:
    return BudgetStore(lambda: database)


@pytest.fixture
def set_budget(store: BudgetStore, clock: ManualClock, ids: Ids) -> SetBudget:
    async def made(limit: str | int | Decimal, *, tenant: str = "acme", **terms: object) -> UUID:
        told = BudgetTerms.model_validate(
            {"scope": "tenant", "period": "day", "limit_usd": limit, **terms}
        )
        return await store.set(tenant, told, new_id=ids.new(), now=clock.now())

    return made


@pytest.fixture
def alerts() -> list[Budget]:
    return []


@pytest.fixture
def make_purse(store: BudgetStore, clock: ManualClock, ids: Ids, alerts: list[Budget]) -> MakePurse:
    """A purse of a process of its own."""

    def made(
        treasury: Treasury | None = None,
        outage_share: str = "0.05",
        read: ReadChanges = store.changed,
    ) -> Purse:
        return Purse(
            store if treasury is None else treasury,
            read,
            clock=clock,
            ids=ids,
            outage_share=Decimal(outage_share),
            alerted=alerts.append,
        )

    return made


@pytest.fixture
def tenants() -> dict[str, Rates]:
    return {}


@pytest.fixture
def opened(
    build: Build,
    make_purse: MakePurse,
    store: BudgetStore,
    clock: ManualClock,
    tenants: dict[str, Rates],
) -> Open:
    async def rates() -> Mapping[str, Rates]:
        return tenants

    def made(*providers: BaseLLMProvider, **more: object) -> Gate:
        purse = make_purse(**more)
        meters = Meters({"requests": LocalRequests(clock), "tokens": LocalTokens(clock)})
        allowance = Allowance(purse, meters, rates, clock=clock, worst_completion=4000)
        router = build(*providers)
        router.guarded_by(allowance)
        return Gate(router, purse, allowance, store, clock)

    return made
