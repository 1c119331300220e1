"""``/internal/costs``: calls, and what they came to by day, agent, key, model and conversation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from agentcore.kit.clock import Clock
from agentcore.kit.security import principal_of
from agentcore.kit.storable import StorableText
from agentcore.llm_gateway.costs.models import (
    CallFilter,
    CallPage,
    Days,
    Dimension,
    TotalsPage,
)
from agentcore.llm_gateway.costs.store import CostReports

Chosen = Annotated[StorableText, Field(max_length=256, description="Only these calls; empty: all.")]


class Span(BaseModel):
    """A stretch of time and a page of it."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(30, ge=1, le=3660, description="How many days, today's included; UTC.")
    limit: int = Field(100, ge=1, le=500, description="At most so many on a page.")
    cursor: StorableText = Field(
        "", max_length=512, description="`next_cursor` of the page before."
    )
    all_tenants: bool = Field(False, description="Of every tenant; needs the scope admin.")

    def tenant(self, request: Request) -> str | None:
        principal = principal_of(request.scope)
        if self.all_tenants:
            principal.require("admin")
            return None
        return principal.tenant

    def ending(self, now: datetime) -> Days:
        return Days(first=now.date() - timedelta(days=self.days - 1), last=now.date())


class CallSpan(Span):
    days: int = Field(1, ge=1, le=3660, description="How many times 24 hours back from now.")
    agent: Chosen = ""
    conversation: Chosen = ""
    key: Chosen = ""
    model: Chosen = ""
    provider: Chosen = ""
    status: Chosen = ""


TOTALS = {
    "lines": [
        {
            "name": "planner",
            "calls": 120,
            "failed": 1,
            "unpriced": 0,
            "prompt_tokens": 96000,
            "completion_tokens": 18000,
            "cached_tokens": 40000,
            "cache_write_tokens": 0,
            "reasoning_tokens": 2000,
            "cost_usd": "0.06",
            "api_equivalent_usd": "0.09",
            "saved_usd": "0.03",
        }
    ],
    "next_cursor": None,
}


def router(reports: Callable[[], CostReports], clock: Clock) -> APIRouter:
    api = APIRouter(prefix="/internal/costs", tags=["gateway"])
    example = {"content": {"application/json": {"example": TOTALS}}}

    @api.get(
        "/by/{dimension}", summary="Costs by one thing, dearest first", responses={200: example}
    )
    async def costs_by(
        request: Request,
        dimension: Annotated[Dimension, Path(description="By what")],
        span: Annotated[Span, Query()],
    ) -> TotalsPage:
        return await reports().by(
            dimension,
            span.ending(clock.now()),
            tenant=span.tenant(request),
            limit=span.limit,
            cursor=span.cursor,
        )

    @api.get("/daily", summary="Costs by day (UTC), newest first", responses={200: example})
    async def costs_daily(request: Request, span: Annotated[Span, Query()]) -> TotalsPage:
        return await reports().daily(
            span.ending(clock.now()),
            tenant=span.tenant(request),
            limit=span.limit,
            cursor=span.cursor,
        )

    @api.get("/calls", summary="Single calls on the ledger, newest first")
    async def costs_calls(request: Request, span: Annotated[CallSpan, Query()]) -> CallPage:
        wanted = CallFilter(
            tenant=span.tenant(request),
            since=clock.now() - timedelta(days=span.days),
            agent=span.agent,
            conversation=span.conversation,
            key=span.key,
            model=span.model,
            provider=span.provider,
            status=span.status,
        )
        return await reports().calls(wanted, limit=span.limit, cursor=span.cursor)

    return api
