from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from agentcore.ace.gateway_spending import GatewaySpending
from agentcore.ace.ports import Spent, TaskSpending
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.ledger import Ledger
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.store import CallStore
from tests.fakes.clock import ManualClock
from tests.unit.llm_gateway.conftest import call_record

CALL: dict[str, Any] = {"trace_id": "task-1", "usage": TokenUsage(100, 20, 120), "tenant": "acme"}
CENT = Decimal("0.01")


async def test_all_calls_of_a_task_are_counted_written_or_not(
    database: Database, registry: CollectorRegistry, clock: ManualClock, supervisor: Supervisor
) -> None:
    store = CallStore(lambda: database)
    ledger = Ledger(
        store.write,
        clock=clock,
        metrics=GatewayMetrics(registry),
        flush_seconds=60.0,
        buffer=10,
    )
    spending: TaskSpending = GatewaySpending(ledger, CostReports(lambda: database), supervisor)
    assert await spending.of("task-1", tenant="acme") is None
    await store.write([call_record(**CALL, cost_usd=CENT)])
    assert await spending.of("task-1", tenant="acme") == Spent(tokens=120, cost_usd=CENT)
    ledger.add(call_record(**CALL, cost_usd=CENT))
    ledger.add(call_record(**{**CALL, "trace_id": "another"}, cost_usd=CENT))
    assert await spending.of("task-1", tenant="acme") == Spent(tokens=240, cost_usd=2 * CENT)
    asked = [("task-1", "other"), ("task-1", "acme"), ("another", "acme"), ("task-1", "acme")]
    several = await asyncio.gather(*(spending.of(task, tenant=owner) for task, owner in asked))
    assert [each and each.tokens for each in several] == [None, 240, 120, 240]
    failed = call_record(**{**CALL, "usage": None}, status="error", cost_usd=None)
    await store.write([failed])
    assert await spending.of("task-1", tenant="acme") == Spent(tokens=240, cost_usd=2 * CENT)
    ledger.add(call_record(**CALL, cost_usd=None))
    assert await spending.of("task-1", tenant="acme") == Spent(tokens=360, cost_usd=None)
