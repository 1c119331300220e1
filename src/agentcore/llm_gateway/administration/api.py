"""``/internal/keys``, ``/internal/budgets`` and ``/internal/rates``: for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request

from agentcore.kit.security import principal_of
from agentcore.kit.storable import StorableText
from agentcore.llm_gateway.administration.limits import Limits
from agentcore.llm_gateway.administration.models import (
    KeyDraft,
    KeyTerms,
    KeyView,
    KeyViewPage,
    NewKey,
    RateTerms,
    members,
)
from agentcore.llm_gateway.budgets.models import BudgetPage, BudgetState, BudgetTerms

Tenant = Annotated[StorableText, Query(max_length=128, description="Empty: the caller's own.")]
KeyId = Annotated[StorableText, Path(max_length=64, description="The key's id.")]
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many on a page.")]
Cursor = Annotated[
    StorableText, Query(max_length=64, description="`next_cursor` of the page before.")
]
DRAFT = {
    "subject": "team-search",
    "scopes": ["llm"],
    "models": ["qwen3-*", "gpt-5-mini"],
    "requests_per_minute": 600,
    "tokens_per_minute": 200000,
    "priority": "medium",
    "expires_at": "2030-01-01T00:00:00Z",
    "budget": {"limit_usd": "50", "period": "month"},
}
TERMS = {"models": ["qwen3-*"], "requests_per_minute": 60, "priority": "low", "expires_at": None}
BUDGET = {"scope": "tenant", "period": "month", "limit_usd": "500", "alert_share": "0.8"}
RATES = {"requests_per_minute": 6000, "tokens_per_minute": 2000000}


def router(limits: Callable[[], Limits]) -> APIRouter:
    api = APIRouter(prefix="/internal", tags=["gateway"])
    _key_routes(api, limits)
    _budget_routes(api, limits)
    _rate_routes(api, limits)
    return api


def _key_routes(api: APIRouter, limits: Callable[[], Limits]) -> None:
    @api.post("/keys", status_code=201, summary="Make a virtual key; it is shown once")
    async def make_key(
        request: Request, draft: Annotated[KeyDraft, Body(examples=[DRAFT])]
    ) -> NewKey:
        tenant = _tenant(request, draft.tenant)
        made, plaintext = await limits().make_key(draft, tenant=tenant)
        return NewKey.model_validate({**members(made), "key": plaintext})

    @api.get("/keys", summary="A tenant's virtual keys, without what is secret")
    async def list_keys(
        request: Request, tenant: Tenant = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> KeyViewPage:
        keys, following = await limits().keys.page(
            _tenant(request, tenant), limit=limit, cursor=cursor
        )
        return KeyViewPage(keys=[KeyView.of(key) for key in keys], next_cursor=following)

    @api.put("/keys/{key_id}", summary="Replace what a key's calls may do")
    async def change_key(
        request: Request,
        key_id: KeyId,
        terms: Annotated[KeyTerms, Body(examples=[TERMS])],
        tenant: Tenant = "",
    ) -> KeyView:
        changed = await limits().change_key(key_id, terms, tenant=_tenant(request, tenant))
        return KeyView.of(changed)

    @api.delete("/keys/{key_id}", status_code=204, summary="Revoke a key")
    async def revoke_key(request: Request, key_id: KeyId, tenant: Tenant = "") -> None:
        await limits().keys.revoke(key_id, tenant=_tenant(request, tenant))


def _budget_routes(api: APIRouter, limits: Callable[[], Limits]) -> None:
    @api.put("/budgets", summary="Set a budget, or change the one there is")
    async def set_budget(
        request: Request,
        terms: Annotated[BudgetTerms, Body(examples=[BUDGET])],
        tenant: Tenant = "",
    ) -> BudgetState:
        whose = _tenant(request, tenant)
        made = await limits().set_budget(terms, tenant=whose)
        return await limits().budget(made)

    @api.get("/budgets", summary="Budgets, and what is spent of them")
    async def list_budgets(
        request: Request, tenant: Tenant = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> BudgetPage:
        return await limits().budget_page(
            tenant=_tenant(request, tenant), limit=limit, cursor=cursor
        )

    @api.delete("/budgets/{budget_id}", status_code=204, summary="Delete a budget")
    async def delete_budget(request: Request, budget_id: UUID, tenant: Tenant = "") -> None:
        await limits().delete_budget(budget_id, tenant=_tenant(request, tenant))


def _rate_routes(api: APIRouter, limits: Callable[[], Limits]) -> None:
    @api.get("/rates", summary="What a tenant's callers may use in a minute")
    async def get_rates(request: Request, tenant: Tenant = "") -> RateTerms:
        return await limits().rates_of(_tenant(request, tenant))

    @api.put("/rates", summary="Set what a tenant's callers may use in a minute")
    async def set_rates(
        request: Request,
        terms: Annotated[RateTerms, Body(examples=[RATES])],
        tenant: Tenant = "",
    ) -> RateTerms:
        await limits().set_rates(terms, tenant=_tenant(request, tenant))
        return terms


def _tenant(request: Request, named: str) -> str:
    """An administrator speaks for every tenant; the own one where none is named."""
    principal = principal_of(request.scope)
    principal.require("admin")
    return named or principal.tenant
