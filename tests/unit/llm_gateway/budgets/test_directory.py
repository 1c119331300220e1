from __future__ import annotations

from decimal import Decimal

from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.directory import Directory
from agentcore.llm_gateway.budgets.models import Budget, BudgetScope


def budget(scope: BudgetScope, target: str = "", tenant: str = "acme") -> Budget:
    return Budget(Ids().new(), tenant, scope, target, "day", Decimal(1), hard=True)


class Changes:
    def __init__(self) -> None:
        self.log: list[tuple[Budget, bool]] = []
        self.asked: list[int] = []

    async def since(self, revision: int) -> tuple[int, list[tuple[Budget, bool]]]:
        self.asked.append(revision)
        return len(self.log), self.log[revision:]


async def test_changes_are_learnt_once() -> None:
    changes = Changes()
    directory = Directory(changes.since)
    await directory.refresh()
    assert directory.of("acme") == ()
    own, agents = budget("tenant"), budget("agent", "k")
    changes.log += [(own, True), (agents, True), (budget("key", "k", "rival"), True)]
    await directory.refresh()
    assert directory.of("acme") == (own,)
    assert directory.of("acme", key="k") == (own,)
    assert directory.of("acme", agent="k") == (own, agents)
    raised = own._replace(limit_usd=Decimal(2))
    changes.log += [(raised, True), (agents, False)]
    await directory.refresh()
    assert directory.of("acme", agent="k") == (raised,)
    assert directory.get(agents.id) is None
    assert changes.asked == [0, 0, 3]
