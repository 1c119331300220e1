from __future__ import annotations

from collections.abc import Sequence

from agentcore.ace.ports import Spent
from agentcore.kit.batches import Batches
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.ledger import Ledger

# A task's id, and its tenant.
Asked = tuple[str, str]


class GatewaySpending:
    """Tasks whose model calls have the task's id as their trace id.

    Many tasks end at the same time, and are asked for together.
    """

    def __init__(self, ledger: Ledger, costs: CostReports, supervisor: Supervisor) -> None:
        self._ledger = ledger
        self._costs = costs
        self._looks = Batches(
            "look up costs", self._look, lambda asked: asked[0], supervisor=supervisor
        )

    async def of(self, task_id: str, *, tenant: str) -> Spent | None:
        return await self._looks.write((task_id, tenant))

    async def _look(self, asked: Sequence[Asked]) -> dict[str, Spent]:
        if any(self._ledger.holds(task_id) for task_id, _ in asked):
            await self._ledger.flush()
        found = await self._costs.of_traces(asked)
        return {
            task_id: Spent(tokens=cost.tokens, cost_usd=cost.cost_usd)
            for (task_id, _), cost in found.items()
        }
