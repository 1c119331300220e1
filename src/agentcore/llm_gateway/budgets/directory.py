"""Which budgets a call counts against: known without asking anybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from uuid import UUID

from agentcore.llm_gateway.budgets.models import Budget, BudgetScope

ReadChanges = Callable[[int], Awaitable[tuple[int, list[tuple[Budget, bool]]]]]
NONE: tuple[Budget, ...] = ()


class Spender(NamedTuple):
    """Who pays for a call; ``key`` and ``agent`` may be empty."""

    tenant: str
    key: str = ""
    agent: str = ""


class Directory:
    """All budgets in memory, kept up by :meth:`refresh`."""

    def __init__(self, read: ReadChanges) -> None:
        self._read = read
        self._revision = 0
        self._budgets: dict[UUID, Budget] = {}
        self._of: dict[str, dict[tuple[BudgetScope, str], tuple[Budget, ...]]] = {}

    def get(self, budget_id: UUID) -> Budget | None:
        return self._budgets.get(budget_id)

    def of(self, spender: Spender) -> tuple[Budget, ...]:
        tenant = self._of.get(spender.tenant)
        if tenant is None:
            return NONE
        found = tenant.get(("tenant", ""), NONE)
        if spender.key:
            found += tenant.get(("key", spender.key), NONE)
        if spender.agent:
            found += tenant.get(("agent", spender.agent), NONE)
        return found

    async def refresh(self) -> None:
        """Learn what has changed since the last time.

        Raises:
            StorageUnavailable: the database is away; what is known stays known.
        """
        revision, changes = await self._read(self._revision)
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
