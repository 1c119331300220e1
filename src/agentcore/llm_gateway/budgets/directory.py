"""Which budgets a call counts against: known without asking anybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from agentcore.llm_gateway.budgets.models import Budget, BudgetScope

ReadChanges = Callable[[int], Awaitable[tuple[int, list[tuple[Budget, bool]]]]]
NONE: tuple[Budget, ...] = ()


class Directory:
    """All budgets in memory, kept up by :meth:`refresh`."""

    def __init__(self, read: ReadChanges) -> None:
        self._read = read
        self._revision = 0
        self._budgets: dict[UUID, Budget] = {}
        self._of: dict[str, dict[tuple[BudgetScope, str], tuple[Budget, ...]]] = {}

    def get(self, budget_id: UUID) -> Budget | None:
        return self._budgets.get(budget_id)

    def of(self, tenant: str, key: str = "", agent: str = "") -> tuple[Budget, ...]:
        """What a call counts against; ``key`` and ``agent`` may be empty."""
        known = self._of.get(tenant)
        if known is None:
            return NONE
        found = known.get(("tenant", ""), NONE)
        if key:
            found += known.get(("key", key), NONE)
        if agent:
            found += known.get(("agent", agent), NONE)
        return found

    async def refresh(self) -> None:
        """Learn what has changed since the last time.

        Raises:
            StorageUnavailable: the database is away; what is known stays known.
        """
        revision, changes = await self._read(self._revision)
        if revision < self._revision:
            # Who asked later was told sooner.
            return
        for budget, present in changes:
            self._budgets.pop(budget.id, None)
            if present:
                self._budgets[budget.id] = budget
        if changes:
            self._of = _sorted(self._budgets.values())
        self._revision = revision


def _sorted(
    budgets: Iterable[Budget],
) -> dict[str, dict[tuple[BudgetScope, str], tuple[Budget, ...]]]:
    by_tenant: dict[str, dict[tuple[BudgetScope, str], tuple[Budget, ...]]] = {}
    for budget in budgets:
        place = by_tenant.setdefault(budget.tenant, {})
        key = (budget.scope, budget.target)
        place[key] = (*place.get(key, NONE), budget)
    return by_tenant
