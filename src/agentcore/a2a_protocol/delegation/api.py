"""The log of interactions between agents, for people and programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request

from agentcore.a2a_protocol.delegation.interactions import Interactions
from agentcore.a2a_protocol.delegation.models import Asked
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of

ROW: JsonObject = {
    "task_id": "0198a1c0-0000-7000-8000-000000000002",
    "source_agent": "planner",
    "source_task": "0198a1c0-0000-7000-8000-000000000001",
    "source_installation": "3b1f0d6e9c5a4f7e8d2c1b0a99887766",
    "target_agent": "summarizer",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "depth": 2,
    "private": False,
    "state": "TASK_STATE_COMPLETED",
    "budget_usd": "0.50",
    "created_at": "2026-01-01T00:00:00+00:00",
    "ended_at": "2026-01-01T00:00:04+00:00",
    "error": None,
    "seconds": 3.9,
    "tokens": 812,
    "cost_usd": "0.0021",
}
EXAMPLE: JsonObject = {"interactions": [ROW], "next_cursor": None}


class InteractionList(BaseModel):
    interactions: list[JsonObject]
    next_cursor: str | None = None


def router(log: Callable[[], Interactions]) -> APIRouter:
    api = APIRouter(prefix="/internal", tags=["agents and tasks"])

    @api.get(
        "/interactions",
        summary="Tasks that agents have handed on to each other",
        responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
    )
    async def interactions(request: Request, asked: Annotated[Asked, Query()]) -> InteractionList:
        page = await log().page(principal_of(request.scope), asked)
        return InteractionList.model_validate(page)

    return api
