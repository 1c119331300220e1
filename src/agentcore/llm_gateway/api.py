"""Routes of the gateway beside ``/v1``: statistics and costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonValue
from agentcore.kit.security import principal_of
from agentcore.llm_gateway.administration import api as administration_api
from agentcore.llm_gateway.costs import api as costs_api
from agentcore.llm_gateway.costs.models import CostLine
from agentcore.llm_gateway.fleet import Reloaded
from agentcore.llm_gateway.gateway import Gateway
from agentcore.llm_gateway.models import GatewayConfig
from agentcore.llm_gateway.parallax import api as capacity_api

HOURS = {"h": 1, "d": 24}

STATS = {
    "total_requests": 1250,
    "parallax_requests": 1000,
    "parallax_percentage": 80.0,
    "api_requests_by_provider": {"openai": 250},
    "avg_latency_parallax": 412.5,
    "avg_latency_api": 690.1,
    "cost_savings": "3.20",
    "api_cost": "0.85",
    "routing_reasons": {"cost_optimization": 1000, "cluster_saturated": 250},
}
RELOADED = {
    "added": ["gemini"],
    "changed": [],
    "removed": ["openai"],
    "ignored": ["max_body_bytes"],
}
DECISION = {
    "at": "2026-01-01T00:00:00Z",
    "subject": "planner",
    "model": "qwen3-8b",
    "dialect": "chat",
    "priority": "medium",
    "private": False,
    "reason": "cluster_saturated",
    "candidates": ["openai"],
    "exclusions": {"cluster": "at its concurrency limit", "gemini": "does not serve the model"},
    "providers": [
        {
            "provider": "openai",
            "self_hosted": False,
            "private": False,
            "expected_cost_usd": 0.0011,
            "load": 3.0,
            "wait_seconds": None,
            "first_content_seconds": 0.42,
            "tokens_per_second": 88.0,
            "quality": 0.5,
            "region": "us",
        }
    ],
    "attempts": [["openai", "success"]],
}
SUMMARY = {
    "since": "2026-01-01T00:00:00Z",
    "lines": [
        {
            "provider": "cluster",
            "kind": "self_hosted",
            "calls": 1000,
            "unpriced": 0,
            "prompt_tokens": 800000,
            "completion_tokens": 1500000,
            "cost_usd": "0",
            "api_equivalent_usd": "3.20",
        }
    ],
    "cost_usd": "0",
    "api_equivalent_usd": "3.20",
    "saved_usd": "3.20",
    "unpriced": 0,
    "pending": 0,
}


class RoutingStatistics(BaseModel):
    """Answers since this process began. Latencies in milliseconds, money in USD."""

    total_requests: int
    parallax_requests: int
    parallax_percentage: float
    api_requests_by_provider: dict[str, int]
    avg_latency_parallax: float | None
    avg_latency_api: float | None
    cost_savings: Decimal
    api_cost: Decimal
    routing_reasons: dict[str, int]


class RoutingRecord(BaseModel):
    """One decision of this process. ``attempts`` are providers and how each ended; costs in USD."""

    at: datetime
    subject: str
    model: str
    dialect: str
    priority: str
    private: bool
    reason: str
    candidates: list[str] = Field(description="In the order of trial")
    exclusions: dict[str, str] = Field(description="Provider: why it was no candidate")
    providers: list[dict[str, JsonValue]] = Field(
        description="What was known about each; null is unknown"
    )
    attempts: list[tuple[str, str]]


class CostSummary(BaseModel):
    """USD as decimal strings. Self-hosted cost is the configured marginal price, 0 by default."""

    since: str
    lines: list[CostLine]
    cost_usd: Decimal
    api_equivalent_usd: Decimal
    saved_usd: Decimal = Field(
        description="api_equivalent_usd of self-hosted calls less their cost"
    )
    unpriced: int = Field(description="Calls whose cost is unknown; they are in no sum")
    pending: int = Field(description="Calls of this process not yet on the ledger")


def router(
    gateway: Callable[[], Gateway], clock: Clock, *, reread: Callable[[], GatewayConfig]
) -> APIRouter:
    """``reread`` says how the gateway is configured now."""
    api = APIRouter()
    api.include_router(costs_api.router(lambda: gateway().costs, clock))
    api.include_router(capacity_api.router(lambda: gateway().gates, lambda: gateway().clusters))
    api.include_router(administration_api.router(lambda: gateway().limits))
    _add_routing(api, gateway, reread)
    _add_costs(api, gateway, clock)
    return api


def _add_routing(
    api: APIRouter, gateway: Callable[[], Gateway], reread: Callable[[], GatewayConfig]
) -> None:
    @api.get(
        "/internal/routing/stats",
        tags=["gateway"],
        summary="Where requests went and why",
        responses={200: {"content": {"application/json": {"example": STATS}}}},
    )
    async def routing_stats() -> RoutingStatistics:
        return RoutingStatistics.model_validate(await gateway().router.get_routing_stats())

    @api.post(
        "/internal/routing/reload",
        tags=["gateway"],
        summary="Take on what the settings say now, without interrupting anybody",
        responses={200: {"content": {"application/json": {"example": RELOADED}}}},
    )
    async def routing_reload(request: Request) -> Reloaded:
        principal_of(request.scope).require("admin")
        return await gateway().fleet.reload(reread)

    @api.get(
        "/internal/routing/decisions",
        tags=["gateway"],
        summary="Why the latest calls went where they went",
        responses={200: {"content": {"application/json": {"example": [DECISION]}}}},
    )
    async def routing_decisions(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000, description="Newest first")] = 50,
        all_tenants: Annotated[  # noqa: FBT002 - a query parameter is always named
            bool, Query(description="Of every tenant; needs the scope admin")
        ] = False,
    ) -> list[RoutingRecord]:
        principal = principal_of(request.scope)
        if all_tenants:
            principal.require("admin")
        tenant = None if all_tenants else principal.tenant
        told = gateway().router.decisions.read(tenant, limit)
        return [RoutingRecord.model_validate(each, from_attributes=True) for each in told]


def _add_costs(api: APIRouter, gateway: Callable[[], Gateway], clock: Clock) -> None:
    @api.get(
        "/internal/costs/summary",
        tags=["gateway"],
        summary="What the caller's tenant spent and saved, by provider",
        responses={200: {"content": {"application/json": {"example": SUMMARY}}}},
    )
    async def costs_summary(
        request: Request,
        window: Annotated[
            str, Query(pattern=r"^[1-9][0-9]{0,3}[hd]$", description="Back from now: 24h, 30d")
        ] = "24h",
        all_tenants: Annotated[  # noqa: FBT002 - a query parameter is always named
            bool, Query(description="Sum over every tenant; needs the scope admin")
        ] = False,
    ) -> CostSummary:
        principal = principal_of(request.scope)
        if all_tenants:
            principal.require("admin")
        since = clock.now() - timedelta(hours=int(window[:-1]) * HOURS[window[-1]])
        tenant = None if all_tenants else principal.tenant
        lines = await gateway().costs.summary(tenant=tenant, since=since)
        return _summary(since.isoformat(), lines, pending=gateway().ledger.pending)


def _summary(since: str, lines: list[CostLine], *, pending: int) -> CostSummary:
    own = [line for line in lines if line.kind == "self_hosted"]
    spent_on_own = sum((line.cost_usd or Decimal(0) for line in own), Decimal(0))
    equivalent = sum((line.api_equivalent_usd or Decimal(0) for line in own), Decimal(0))
    return CostSummary(
        since=since,
        lines=lines,
        cost_usd=sum((line.cost_usd or Decimal(0) for line in lines), Decimal(0)),
        api_equivalent_usd=equivalent,
        saved_usd=equivalent - spent_on_own,
        unpriced=sum(line.unpriced for line in lines),
        pending=pending,
    )
