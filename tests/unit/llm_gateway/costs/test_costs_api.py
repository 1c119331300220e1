from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import pytest
from fastapi import FastAPI

from agentcore.kit.db import Database
from agentcore.kit.security import Principal
from agentcore.llm_gateway.costs.api import router
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.store import CallStore
from tests.fakes import asgi
from tests.fakes.asgi import As, told_as_problems
from tests.fakes.clock import ManualClock
from tests.unit.llm_gateway.costs.test_costs_store import record

ANN = Principal(subject="ann", tenant="acme", scopes=frozenset({"metrics"}))
ROOT = Principal(subject="root", tenant="rival", scopes=frozenset({"admin"}))


@pytest.fixture
def door(database: Database) -> As:
    app = FastAPI()
    clock = ManualClock(datetime(2026, 1, 10, 13, tzinfo=UTC))
    app.include_router(router(lambda: CostReports(lambda: database), clock))
    told_as_problems(app)
    return As(app, ANN)


@pytest.fixture
async def client(door: As) -> AsyncIterator[httpx2.AsyncClient]:
    async with asgi.client(door) as opened:
        yield opened


async def test_a_tenant_is_told_of_its_own_calls_only(
    client: httpx2.AsyncClient, database: Database, door: As
) -> None:
    mine, theirs = record(), record(tenant="rival", agent="secret", conversation="theirs")
    await CallStore(lambda: database).write([mine, theirs])
    for path in ("by/agent", "by/key", "by/model", "by/conversation", "daily", "calls"):
        answer = await client.get(f"/internal/costs/{path}")
        assert answer.status_code == 200
        assert "secret" not in answer.text
        assert "theirs" not in answer.text
    calls = (await client.get("/internal/costs/calls", params={"conversation": "theirs"})).json()
    assert calls == {"calls": [], "next_cursor": None}
    day = (await client.get("/internal/costs/daily")).json()["lines"][0]
    assert (day["name"], day["calls"], Decimal(day["cost_usd"])) == (
        "2026-01-10",
        1,
        Decimal("0.01"),
    )
    assert (await client.get("/internal/costs/by/agent?all_tenants=1")).status_code == 403
    door.principal = ROOT
    everybody = (await client.get("/internal/costs/by/agent?all_tenants=1")).json()["lines"]
    assert [line["name"] for line in everybody] == ["secret", "planner"]


@pytest.mark.parametrize(
    "path",
    [
        "by/subject",
        "by/agent?days=0",
        "by/agent?cursor=1/%00",
        "daily?limit=0",
        "daily?limit=501",
        "calls?cursor=x",
        "calls?agent=%00",
        "calls?status=a%00b",
    ],
)
async def test_what_makes_no_sense_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(f"/internal/costs/{path}")).status_code == 422
