"""What bounds callers, put together: budgets, rates, keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.administration.limits import Limits
from agentcore.llm_gateway.allowance import Allowance
from agentcore.llm_gateway.budgets.purse import Purse
from agentcore.llm_gateway.budgets.store import BudgetStore
from agentcore.llm_gateway.keys import ApiKeys
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import GatewayConfig
from agentcore.llm_gateway.rates.meters import Meters
from agentcore.llm_gateway.rates.sources import SharedRequests, SharedTokens
from agentcore.llm_gateway.rates.store import RateStore
from agentcore.llm_gateway.store import KeyStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """``guard`` lets calls in; ``limits`` changes what it goes by."""

    guard: Allowance
    limits: Limits


@asynccontextmanager
async def open_spending(
    config: GatewayConfig,
    *,
    database: Database,
    cache: Cache,
    supervisor: Supervisor,
    metrics: GatewayMetrics,
    clock: Clock,
    ids: Ids,
) -> AsyncIterator[Spending]:
    """Running and up to date; leaving it gives back what this process holds of budgets."""
    limits = open_limits(database, clock, ids)
    purse = Purse(
        limits.budgets,
        limits.budgets.changed,
        clock=clock,
        ids=ids,
        outage_share=config.budget_outage_share,
        alerted=lambda budget: metrics.budget_alerts.labels(budget.scope).inc(),
    )
    guard = Allowance(
        purse,
        Meters({"requests": SharedRequests(cache, clock), "tokens": SharedTokens(cache, clock)}),
        limits.rates.all,
        clock=clock,
        worst_completion=config.budget_answer_tokens,
    )
    await guard.refresh()
    telling = supervisor.start("gateway budgets", purse.run)
    supervisor.start("gateway rates", guard.run)
    try:
        yield Spending(guard=guard, limits=limits.telling(guard.refresh))
    finally:
        await supervisor.cancel(telling)
        await _give_back(purse)


def open_limits(database: Database, clock: Clock, ids: Ids) -> Limits:
    """Keys, budgets and rates without a gateway, for the command line."""
    return Limits(
        keys=ApiKeys(KeyStore(lambda: database), clock),
        budgets=BudgetStore(lambda: database),
        rates=RateStore(lambda: database),
        clock=clock,
        ids=ids,
    )


async def _give_back(purse: Purse) -> None:
    try:
        await purse.close()
    except StorageUnavailable:
        log.exception("what this process holds of budgets counts as spent")
