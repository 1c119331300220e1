from __future__ import annotations

from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.accounts import SUCCESS, Outcome
from agentcore.llm_gateway.allowance import UNLIMITED
from agentcore.llm_gateway.budgets.models import BudgetTerms
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.models import ChatCall, GatewayConfig, TokenUsage
from agentcore.llm_gateway.prices import FlatPrice
from agentcore.llm_gateway.spending import open_limits, open_spending

CALL = ChatCall(model="m", body={}, tenant="acme", max_tokens=10)
CENT = FlatPrice(Decimal(10_000), Decimal(10_000), Decimal(10_000))
ANSWER = Outcome(
    id=Ids().new(),
    call=CALL,
    destination=Destination("api"),
    price=CENT,
    reason="default",
    status=SUCCESS,
    began=0.0,
    usage=TokenUsage(0, 9, 9),
)


async def test_it_knows_budgets_from_the_start_and_gives_back_at_the_end(
    database: Database, ids: Ids, registry: CollectorRegistry, ground: dict[str, Any]
) -> None:
    before = open_limits(database, SystemClock(), ids)
    terms = BudgetTerms(scope="tenant", period="total", limit_usd=Decimal("0.1"))
    budget = await before.set_budget(terms, tenant="acme")
    async with open_spending(GatewayConfig(), **ground) as spending:
        assert await spending.guard.admit(CALL._replace(tenant="rival")) is UNLIMITED
        grant = await spending.guard.admit(CALL)
        hold = await grant.hold(CENT)
        hold.settle(ANSWER, Decimal("0.09"))
    told = await before.budget(budget)
    assert (told.spent_usd, told.held_usd) == (Decimal("0.09"), 0)
    alerts = registry.get_sample_value("llm_budget_alerts_total", {"scope": "tenant"})
    assert alerts == 1
