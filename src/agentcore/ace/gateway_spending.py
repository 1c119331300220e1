from __future__ import annotations

from agentcore.ace.ports import Spent
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.ledger import Ledger


class GatewaySpending:
    """Tasks whose model calls have the task's id as their trace id."""

    def __init__(self, ledger: Ledger, costs: CostReports) -> None:
        self._ledger = ledger
        self._costs = costs

    async def of(self, task_id: str, *, tenant: str) -> Spent | None:
        if self._ledger.holds(task_id):
            await self._ledger.flush()
        found = await self._costs.of_trace(task_id, tenant=tenant)
        if not found.calls:
            return None
        return Spent(tokens=found.tokens, cost_usd=found.cost_usd)
