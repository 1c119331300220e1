"""Tests of api.py and gateway.py: the gateway as the application mounts it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.api import router
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.gateway import Gateway, open_gateway
from agentcore.llm_gateway.ingress import OpenAIDoor, OpenAIEndpoint
from agentcore.llm_gateway.models import GatewayConfig
from tests.fakes import asgi
from tests.fakes.asgi import As
from tests.fakes.llm_upstream import Upstream

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def config(upstream: Upstream) -> GatewayConfig:
    return GatewayConfig.model_validate(
        {
            "ledger_flush": 60,
            "providers": [
                {
                    "name": "cluster",
                    "kind": "parallax",
                    "base_url": upstream.url,
                    "models": {"small": "Qwen/Qwen3-8B"},
                },
                {
                    "name": "api",
                    "kind": "openai",
                    "base_url": upstream.v1,
                    "api_key": "k",
                    "models": {"big": "gpt-5-mini"},
                },
            ],
        }
    )


@pytest.fixture
async def gateway(config: GatewayConfig, ground: dict[str, Any]) -> AsyncIterator[Gateway]:
    async with open_gateway(config, **ground) as opened:
        yield opened


@pytest.fixture
def application(gateway: Gateway) -> As:
    app = FastAPI()
    clock = SystemClock()
    endpoint = OpenAIEndpoint(lambda: gateway.router, clock=clock, max_body_bytes=10_000)
    app.add_middleware(OpenAIDoor, endpoint=endpoint)
    app.include_router(router(lambda: gateway, clock, reread=GatewayConfig))
    return As(app, Principal(subject="a", tenant="acme", scopes=frozenset({"llm"})))


@pytest.fixture
async def client(application: As) -> AsyncIterator[httpx2.AsyncClient]:
    async with asgi.client(application) as opened:
        yield opened


async def test_calls_reach_statistics_and_costs(
    client: httpx2.AsyncClient, gateway: Gateway
) -> None:
    for model in ("small", "small", "big"):
        answer = await client.post("/v1/chat/completions", json={**CHAT, "model": model})
        assert answer.status_code == 200
    stats = (await client.get("/internal/routing/stats")).json()
    assert stats["total_requests"] == 3
    assert stats["api_requests_by_provider"] == {"api": 1}
    assert stats["routing_reasons"] == {"cost_optimization": 2, "exclusive_model": 1}
    decisions = (await client.get("/internal/routing/decisions", params={"limit": 2})).json()
    assert [(each["model"], each["attempts"]) for each in decisions] == [
        ("big", [["api", "success"]]),
        ("small", [["cluster", "success"]]),
    ]
    summary = (await client.get("/internal/costs/summary")).json()
    assert summary["pending"] == 3
    await gateway.ledger.flush()
    summary = (await client.get("/internal/costs/summary", params={"window": "7d"})).json()
    assert summary["pending"] == 0
    assert Decimal(summary["cost_usd"]) == Decimal("0.000009")
    assert Decimal(summary["saved_usd"]) == Decimal("0.000018")
    assert [(line["provider"], line["calls"]) for line in summary["lines"]] == [
        ("api", 1),
        ("cluster", 2),
    ]


async def test_a_tenant_sees_its_own_costs(
    client: httpx2.AsyncClient, application: As, gateway: Gateway
) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    await gateway.ledger.flush()
    application.principal = Principal(
        subject="r", tenant="rival", scopes=frozenset({"llm", "admin"})
    )
    assert (await client.get("/internal/costs/summary")).json()["lines"] == []
    everybody = await client.get("/internal/costs/summary", params={"all_tenants": True})
    assert len(everybody.json()["lines"]) == 1


@pytest.mark.parametrize("window", ["", "24", "0h", "1w", "-1d", "99999h"])
async def test_a_window_is_checked(client: httpx2.AsyncClient, window: str) -> None:
    answer = await client.get("/internal/costs/summary", params={"window": window})
    assert answer.status_code == 422


async def test_leaving_writes_what_is_pending(
    config: GatewayConfig, database: Database, ground: dict[str, Any]
) -> None:
    before = SystemClock().now()
    async with (
        Supervisor() as own,
        open_gateway(config, **{**ground, "supervisor": own}) as gateway,
    ):
        from agentcore.llm_gateway.models import LLMRequest

        request = LLMRequest(model="small", messages=[{"role": "user", "content": "Hello"}])
        await gateway.router.route_request(request)
        assert gateway.ledger.pending == 1
    lines = await CostReports(lambda: database).summary(tenant=None, since=before)
    assert [line.calls for line in lines] == [1]


async def test_its_background_work_is_supervised(gateway: Gateway, supervisor: Supervisor) -> None:
    assert set(supervisor.health()) == {
        "cache",
        "gateway budgets",
        "gateway prices",
        "gateway rates",
        "gateway ledger",
        "gateway ledger relief",
        "gateway provider cluster",
        "gateway provider api",
    }
    assert all(task.alive for task in supervisor.health().values())
    assert set(gateway.router.providers) == {"cluster", "api"}
