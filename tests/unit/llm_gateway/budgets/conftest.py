from __future__ import annotations

from collections.abc import Callable, Coroutine
from decimal import Decimal
from uuid import UUID

import pytest

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets import purse
from agentcore.llm_gateway.budgets.directory import ReadChanges
from agentcore.llm_gateway.budgets.models import Budget, BudgetTerms
from agentcore.llm_gateway.budgets.purse import Purse, Treasury
from agentcore.llm_gateway.budgets.store import BudgetStore
from tests.fakes.clock import ManualClock

SetBudget = Callable[..., Coroutine[object, object, UUID]]
MakePurse = Callable[..., Purse]


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
