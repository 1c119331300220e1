"""Routes about capacity: what providers can take, and another model for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from agentcore.kit.errors import NotFound
from agentcore.kit.security import principal_of
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.parallax.cluster_manager import ParallaxClusterManager
from agentcore.llm_gateway.parallax.model_switch import Switched

CAPACITY = {
    "provider": "cluster",
    "health": "ready",
    "limit": 8,
    "in_flight": 3,
    "queued": 0,
    "start_tokens": None,
    "start_budget": None,
    "source": "reported",
    "age_seconds": 0.4,
    "confidence": None,
    "models": ["Qwen/Qwen3-8B"],
}
SWITCHED = {
    "cluster": "cluster",
    "model": "Qwen/Qwen3-0.6B",
    "before": "Qwen/Qwen3-8B",
    "seconds": 48.2,
}


class CapacityReport(BaseModel):
    """What one provider can take, as this process knows it; null is unknown."""

    provider: str
    health: str | None = Field(description="Of a Parallax cluster; null for what tells none")
    limit: int | None = Field(description="Calls that are let in at once")
    in_flight: int
    queued: int
    start_tokens: int | None = Field(description="Calls that the scheduler would start now")
    start_budget: int | None = Field(description="Calls that it starts between two heartbeats")
    source: str = Field(description="Of the limit: configured, reported, learned or unknown")
    age_seconds: float | None = Field(description="Of the cluster's latest status")
    confidence: float | None = Field(description="In the start budget, from 0 to 1")
    models: list[str] | None


class ModelOrder(BaseModel):
    model: str = Field(
        min_length=1,
        max_length=200,
        description="A name of its GET /model/list",
        examples=["Qwen/Qwen3-8B"],
    )


def router(
    gates: Callable[[], Mapping[str, Gate]],
    clusters: Callable[[], Mapping[str, ParallaxClusterManager]],
) -> APIRouter:
    api = APIRouter(prefix="/internal/capacity", tags=["gateway"])

    @api.get(
        "",
        summary="What each provider can take now",
        responses={200: {"content": {"application/json": {"example": [CAPACITY]}}}},
    )
    async def capacity() -> list[CapacityReport]:
        known = clusters()
        return [_report(name, gate, known.get(name)) for name, gate in gates().items()]

    @api.post(
        "/{provider}/model",
        summary="Give a Parallax cluster another model: an outage of minutes; needs admin",
        responses={200: {"content": {"application/json": {"example": SWITCHED}}}},
    )
    async def preload(provider: str, order: ModelOrder, request: Request) -> Switched:
        principal_of(request.scope).require("admin")
        cluster = clusters().get(provider)
        if cluster is None:
            raise NotFound(
                f"no Parallax cluster is named {provider!r}",
                hint=f"known: {', '.join(sorted(clusters())) or 'none'}",
            )
        return await cluster.preload_model(order.model)

    return api


def _report(name: str, gate: Gate, cluster: ParallaxClusterManager | None) -> CapacityReport:
    starts = gate.capacity.starts
    told = None if cluster is None else cluster.capacity
    return CapacityReport(
        provider=name,
        health=None if told is None else told.health,
        limit=gate.limit,
        in_flight=gate.in_flight,
        queued=sum(gate.queued.values()),
        start_tokens=None if starts is None else starts.tokens,
        start_budget=None if starts is None else starts.size,
        source=gate.capacity.source,
        age_seconds=None if told is None else told.age_seconds,
        confidence=None if starts is None else starts.confidence,
        models=None if told is None or told.models is None else list(told.models),
    )
