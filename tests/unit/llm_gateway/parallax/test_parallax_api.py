from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from agentcore.kit.clock import SystemClock
from agentcore.kit.security import Principal
from agentcore.llm_gateway.admission import FixedLimit, Gate
from agentcore.llm_gateway.parallax.api import router
from agentcore.llm_gateway.parallax.cluster_manager import ParallaxClusterManager
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi import As, client, told_as_problems
from tests.fakes.parallax_scheduler import NEW, OLD, FakeScheduler, parallax_scheduler


def may(*scopes: str) -> Principal:
    return Principal(subject="a", tenant="acme", scopes=frozenset(scopes))


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    async with parallax_scheduler() as running:
        yield running


@pytest.fixture
async def door(scheduler: FakeScheduler, pool: ConnectionPool) -> As:
    clock = SystemClock()
    gate = Gate(FixedLimit(4, clock), clock)
    manager = ParallaxClusterManager(scheduler.url, pool=pool, clock=clock, gate=gate)
    app = FastAPI()
    gates = {"cluster": gate, "api": Gate(FixedLimit(None, clock), clock)}
    app.include_router(router(lambda: gates, lambda: {"cluster": manager}))
    told_as_problems(app)
    await manager.get_capacity()
    return As(app, may("llm"))


async def test_what_is_unknown_is_null(door: As) -> None:
    async with client(door) as http:
        cluster, api = (await http.get("/internal/capacity")).json()
    assert cluster["age_seconds"] >= 0
    assert {name: cluster[name] for name in ("health", "limit", "source", "models")} == {
        "health": "ready",
        "limit": 4,
        "source": "configured",
        "models": [OLD],
    }
    assert cluster["start_tokens"] is cluster["confidence"] is None
    assert {name for name, value in api.items() if value is None} == {
        "health",
        "limit",
        "start_tokens",
        "start_budget",
        "age_seconds",
        "confidence",
        "models",
    }


async def test_only_admins_give_a_cluster_another_model(door: As, scheduler: FakeScheduler) -> None:
    async with client(door) as http:
        refused = await http.post("/internal/capacity/cluster/model", json={"model": NEW})
        assert refused.status_code == 403
        assert scheduler.orders == []
        door.principal = may("admin")
        told = await http.post("/internal/capacity/cluster/model", json={"model": NEW})
        assert told.status_code == 200
        assert (told.json()["model"], told.json()["before"]) == (NEW, OLD)
        unknown = await http.post("/internal/capacity/api/model", json={"model": NEW})
        assert unknown.status_code == 404
        missing = await http.post("/internal/capacity/cluster/model", json={"model": "x"})
        assert (missing.status_code, missing.json()["code"]) == (404, "model_not_in_catalogue")
