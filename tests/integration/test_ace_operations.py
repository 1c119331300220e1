"""Evolution as its operators see it: dashboards, alerts, readiness, on the whole application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import text

from agentcore.ace.evolution_worker import TASK
from agentcore.app import create_app
from agentcore.kit.db import Database
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.jsonvalue import JsonObject
from agentcore.settings import load_settings
from agentcore.simulators.models import ClusterConfig, Fault
from agentcore.simulators.server import RunningCluster, serve_cluster
from tests.fakes.asgi import client
from tests.fakes.deployment import providers
from tests.fakes.scrapes import alerts, lacking, panels, samples_of

BASE = "/internal/context"
PATIENCE = 30.0
DASHBOARDS = ("ace-overview.json", "ace-llm-usage.json", "ace-performance.json")
VIOLATION = "Invalid discovery: missing capabilities"


@dataclass(frozen=True, slots=True)
class Installation:
    app: FastAPI
    http: httpx2.AsyncClient
    cluster: RunningCluster

    async def lived(self, agent_id: str) -> None:
        """An agent with enough traces for an evolution."""
        await self._posted("/playbooks", {"agent_id": agent_id})
        trace: JsonObject = {
            "agent_id": agent_id,
            "execution_time": 1.0,
            "success": False,
            "metadata": {"violations": [VIOLATION]},
        }
        for _ in range(10):
            await self._posted("/traces", trace)

    async def triggered(self, agent_id: str) -> None:
        await self._posted("/evolution/trigger", {"agent_id": agent_id})

    async def has_evolved(self, agent_id: str) -> bool:
        status = (await self.http.get(f"{BASE}/evolution/status/{agent_id}")).json()
        return bool(status["status"] == "idle" and status["pending_traces"] == 0)

    async def ready(self) -> tuple[int, str]:
        answer = await self.http.get("/health/ready")
        return answer.status_code, answer.json()["checks"]["tasks"]["detail"]

    async def scraped(self) -> str:
        return (await self.http.get("/metrics")).text

    async def _posted(self, path: str, body: JsonObject) -> None:
        answer = await self.http.post(f"{BASE}{path}", json=body)
        assert answer.is_success, answer.text


@pytest.fixture
async def service(
    tmp_path: Path, database_url: str, servers: EmbeddedServers
) -> AsyncIterator[Installation]:
    quick = ClusterConfig(port=0, first_token_seconds=0.001, token_seconds=0, slip_rate=0.0)
    async with serve_cluster(quick) as cluster:
        settings = load_settings(
            environ={
                "AGENTCORE_HOME": str(tmp_path),
                "AGENTCORE_DATABASE_URL": database_url,
                "AGENTCORE_REDIS_URL": str(servers.redis_url),
                "AGENTCORE_CACHE__NAMESPACE": tmp_path.name,
                "AGENTCORE_SECURITY__AUTH": "false",
                "AGENTCORE_LLM_GATEWAY__PROVIDERS": providers(api=cluster.base_url),
                "AGENTCORE_ACE__ACE_LLM_MODEL": "playbook-7b",
                "AGENTCORE_ACE__ACE_WORKER_BATCH_TIMEOUT": "0.02",
            }
        )
        app = create_app(settings)
        async with app.router.lifespan_context(app), client(app) as http:
            http.base_url = httpx2.URL("http://localhost")
            yield Installation(app, http, cluster)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_every_panel_and_alert_has_samples_after_evolutions(service: Installation) -> None:
    await service.lived("agent-123")
    await service.triggered("agent-123")
    await until(lambda: service.has_evolved("agent-123"))
    for _ in range(2):
        await service.http.get(f"{BASE}/playbooks/agent-123")
    await service.lived("agent-9")
    service.cluster.fail(Fault(kind="internal_error"))
    await service.triggered("agent-9")

    async def errors_told() -> bool:
        return "\nace_llm_errors_total 0.0" not in await service.scraped()

    await until(errors_told)
    samples = samples_of(await service.scraped())
    asked = [*alerts("ace.yml"), *(one for name in DASHBOARDS for one in panels(name))]
    assert lacking(asked, samples) == []
    moved = {sample.name for sample in samples if sample.value}
    still = {name for one in asked for name in one.series} - moved
    # Nobody waits any more, and one failure opens nothing.
    assert still <= {"ace_evolution_queue_depth", "ace_circuit_breaker_state"}


def test_the_panels_and_alerts_of_the_specification() -> None:
    told = {name: {panel.where for panel in panels(name)} for name in DASHBOARDS}
    assert told["ace-overview.json"] >= {"Evolution requests per second", "Delta application rate"}
    assert told["ace-llm-usage.json"] >= {"Cost trend", "Error rate", "Circuit breaker state"}
    assert told["ace-performance.json"] >= {"Playbook retrieval", "Cache hit rate", "Queue depth"}
    assert {rule.where for rule in alerts("ace.yml")} >= {
        "ACEMonthlyCostExceeded",
        "ACEHighLatency",
        "ACECircuitBreakerOpen",
    }


async def test_a_dead_worker_turns_readiness_red_and_is_restarted(
    service: Installation, database: Database
) -> None:
    await service.lived("agent-123")
    assert await service.ready() == (200, "")

    async def is_red() -> bool:
        status, detail = await service.ready()
        return status == 503 and TASK in detail

    async def is_green() -> bool:
        return await service.ready() == (200, "")

    with structlog.testing.capture_logs():
        await _execute(database, "ALTER TABLE evolution_status RENAME TO gone")
        await service.triggered("agent-123")
        # It dies again at each start, for as long as it cannot see what is due.
        await until(is_red)
        await _execute(database, "ALTER TABLE gone RENAME TO evolution_status")
        await until(is_green)
    # What the dead one had taken is found again in the database.
    await until(lambda: service.has_evolved("agent-123"))


async def _execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement))
