"""Operations routes: liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.requests import Request

from agentcore.kit.errors import AgentCoreError
from agentcore.observability.exposition import exposition


class Check(BaseModel):
    """One part of readiness; a degraded part still serves."""

    ok: bool
    degraded: bool = False
    detail: str = ""


class Health(BaseModel):
    status: Literal["alive", "ready", "not ready"]
    version: str
    checks: dict[str, Check] = {}


Probe = Callable[[], Awaitable[Check]]
PROBE_SECONDS = 2.0

READY = {
    "status": "ready",
    "version": "0.1.0",
    "checks": {
        "database": {"ok": True, "degraded": False, "detail": ""},
        "cache": {"ok": True, "degraded": True, "detail": "working from memory"},
    },
}


def router(
    version: str, registry: CollectorRegistry, probes: Callable[[], Mapping[str, Probe]]
) -> APIRouter:
    api = APIRouter(tags=["operations"])

    @api.get("/health/live", summary="Whether the process runs")
    async def live() -> Health:
        return Health(status="alive", version=version)

    @api.get(
        "/health/ready",
        summary="Whether requests should be sent here",
        responses={
            200: {"content": {"application/json": {"example": READY}}},
            503: {"model": Health, "description": "A part that is needed does not work"},
        },
    )
    async def ready(response: Response) -> Health:
        checks = {name: await _ask(probe) for name, probe in probes().items()}
        good = bool(checks) and all(check.ok for check in checks.values())
        response.status_code = 200 if good else 503
        return Health(status="ready" if good else "not ready", version=version, checks=checks)

    @api.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        return exposition(registry, request.headers.get("accept", ""))

    return api


async def _ask(probe: Probe) -> Check:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await probe()
    except AgentCoreError as error:
        return Check(ok=False, detail=error.detail)
    except TimeoutError:
        return Check(ok=False, detail=f"no answer within {PROBE_SECONDS} s")
