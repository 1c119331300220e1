"""Keys, budgets and rates in one hand, for REST and the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from agentcore.kit.clock import Clock
from agentcore.kit.errors import NotFound
from agentcore.kit.ids import Ids
from agentcore.kit.security import check_name
from agentcore.llm_gateway.administration.models import KeyDraft, KeyTerms, RateTerms
from agentcore.llm_gateway.budgets.models import BudgetPage, BudgetState, BudgetTerms
from agentcore.llm_gateway.budgets.store import BudgetStore
from agentcore.llm_gateway.keys import ApiKeys, new_key_id
from agentcore.llm_gateway.rates.models import Rates
from agentcore.llm_gateway.rates.store import RateStore
from agentcore.llm_gateway.terms import ApiKey


async def nobody_else() -> None:
    """There is no running gateway in this process to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``changed`` tells this process's own gateway; the others notice within seconds."""

    keys: ApiKeys
    budgets: BudgetStore
    rates: RateStore
    clock: Clock
    ids: Ids
    changed: Callable[[], Awaitable[None]] = nobody_else

    def telling(self, changed: Callable[[], Awaitable[None]]) -> Limits:
        """The same beside a running gateway."""
        return replace(self, changed=changed)

    async def make_key(self, draft: KeyDraft, *, tenant: str) -> tuple[ApiKey, str]:
        """A key, and its plaintext; its budget is there before it can be used."""
        key_id = new_key_id()
        if draft.budget is not None:
            check_name("tenant", tenant)
            await self._set_budget(draft.budget.of(key_id), tenant=tenant)
        return await self.keys.create(
            subject=draft.subject,
            tenant=tenant,
            scopes=draft.scopes,
            private=draft.private,
            terms=draft.terms,
            expires_at=draft.expires_at,
            key_id=key_id,
        )

    async def change_key(self, key_id: str, terms: KeyTerms, *, tenant: str) -> ApiKey:
        return await self.keys.change(
            key_id, tenant=tenant, terms=terms.terms, expires_at=terms.expires_at
        )

    async def set_budget(self, terms: BudgetTerms, *, tenant: str) -> UUID:
        """Raises ``NotFound`` where the tenant has no such key."""
        check_name("tenant", tenant)
        if terms.scope == "key":
            await self.keys.check_known(terms.target, tenant=tenant)
        return await self._set_budget(terms, tenant=tenant)

    async def _set_budget(self, terms: BudgetTerms, *, tenant: str) -> UUID:
        now = self.clock.now()
        made = await self.budgets.set(tenant, terms, new_id=self.ids.new(), now=now)
        await self.changed()
        return made

    async def budget(self, budget_id: UUID) -> BudgetState:
        """Raises ``NotFound`` where it is gone."""
        found = await self.budgets.state(budget_id, now=self.clock.now())
        if found is None:
            raise _no_budget(budget_id)
        return found

    async def budget_page(self, *, tenant: str | None, limit: int, cursor: str) -> BudgetPage:
        now = self.clock.now()
        return await self.budgets.page(tenant=tenant, now=now, limit=limit, cursor=cursor)

    async def delete_budget(self, budget_id: UUID, *, tenant: str) -> None:
        """Raises ``NotFound`` where the tenant has no such budget."""
        if not await self.budgets.delete(budget_id, tenant=tenant, now=self.clock.now()):
            raise _no_budget(budget_id)
        await self.changed()

    async def set_rates(self, terms: RateTerms, *, tenant: str) -> None:
        check_name("tenant", tenant)
        rates = Rates(terms.requests_per_minute, terms.tokens_per_minute)
        await self.rates.set(tenant, rates, now=self.clock.now())
        await self.changed()

    async def rates_of(self, tenant: str) -> RateTerms:
        found = (await self.rates.all()).get(tenant, Rates())
        return RateTerms(**found._asdict())


def _no_budget(budget_id: UUID) -> NotFound:
    return NotFound(f"there is no budget {str(budget_id)!r}")
