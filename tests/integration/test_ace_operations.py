"""Evolution as its operators see it: dashboards, alerts, readiness, on the whole application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
import structlog
from sqlalchemy import text

from agentcore.ace.evolution_worker import TASK
from agentcore.kit.db import Database
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.models import ClusterConfig
from agentcore.simulators.server import serve_cluster
from tests.fakes.deployment import providers
from tests.fakes.installation import installed
from tests.fakes.scrapes import alerts, lacking, panels, samples_of

BASE = "/internal/context"
PATIENCE = 100.0
DASHBOARDS = ("ace-overview.json", "ace-llm-usage.json", "ace-performance.json")
VIOLATION = "Invalid discovery: missing capabilities"


@dataclass(frozen=True, slots=True)
class Operator:
    http: httpx2.AsyncClient

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
async def operator(
    tmp_path: Path, database_url: str, servers: EmbeddedServers
) -> AsyncIterator[Operator]:
    quick = ClusterConfig(port=0, first_token_seconds=0.001, token_seconds=0, slip_rate=0.0)
    async with (
        serve_cluster(quick) as cluster,
        installed(
            tmp_path,
            database_url,
            servers,
            AGENTCORE_LLM_GATEWAY__PROVIDERS=providers(api=cluster.base_url),
            AGENTCORE_AGENTS__MODEL="playbook-7b",
            AGENTCORE_ACE__ACE_LLM_MODEL="playbook-7b",
            AGENTCORE_ACE__ACE_WORKER_BATCH_TIMEOUT="0.02",
        ) as installation,
        installation.client("admin") as http,
    ):
        yield Operator(http)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_every_panel_and_alert_has_samples_after_evolutions(operator: Operator) -> None:
    await operator.lived("agent-123")
    await operator.triggered("agent-123")
    await until(lambda: operator.has_evolved("agent-123"))
    for _ in range(2):
        await operator.http.get(f"{BASE}/playbooks/agent-123")
    samples = samples_of(await operator.scraped())
    asked = [*alerts("ace.yml"), *(one for name in DASHBOARDS for one in panels(name))]
    assert lacking(asked, samples) == []
    moved = {sample.name for sample in samples if sample.value}
    still = {name for one in asked for name in one.series} - moved
    # Nobody waits any more, and nothing has failed.
    assert still <= {
        "ace_evolution_queue_depth",
        "ace_circuit_breaker_state",
        "ace_llm_errors_total",
    }


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
    operator: Operator, database: Database
) -> None:
    await operator.lived("agent-123")
    assert await operator.ready() == (200, "")

    async def is_red() -> bool:
        status, detail = await operator.ready()
        return status == 503 and TASK in detail

    async def is_green() -> bool:
        return await operator.ready() == (200, "")

    with structlog.testing.capture_logs():
        await _execute(database, "ALTER TABLE evolution_status RENAME TO gone")
        await operator.triggered("agent-123")
        # It dies again at each start, for as long as it cannot see what is due.
        await until(is_red)
        await _execute(database, "ALTER TABLE gone RENAME TO evolution_status")
        await until(is_green)
    # What the dead one had taken is found again in the database.
    await until(lambda: operator.has_evolved("agent-123"))


async def test_a_task_of_a_hosted_agent_is_learned_from(
    operator: Operator, database: Database
) -> None:
    """From the playbook that it was shown to the trace with what it has cost."""
    message: JsonObject = {
        "messageId": "m-1",
        "role": "ROLE_USER",
        "parts": [{"text": "Say hello."}],
        "metadata": {"agent_id": "playbook-agent"},
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    answer = await operator.http.post("/a2a", json=request, headers={"a2a-version": "1.0"})
    task = answer.json()["result"]["task"]
    stamp = task["metadata"]["playbook"]
    playbook = (await operator.http.get(f"{BASE}/playbooks/playbook-agent.acme")).json()
    assert (stamp["playbook_id"], stamp["version"]) == (playbook["playbook_id"], 1)

    async def is_traced() -> bool:
        status = await operator.http.get(f"{BASE}/evolution/status/playbook-agent.acme")
        return bool(status.json().get("pending_traces"))

    await until(is_traced)
    traced = text("SELECT metadata FROM execution_traces WHERE task_id = :task")
    called = text(
        "SELECT prompt_tokens + completion_tokens AS tokens, cost_usd, agent FROM llm_calls"
        " WHERE trace_id = :task"
    )
    (trace,) = await database.rows(traced.bindparams(task=task["id"]))
    (call,) = await database.rows(called.bindparams(task=task["id"]))
    told = trace["metadata"]
    assert told["playbook"] == stamp
    assert (told["tokens"], Decimal(told["cost_usd"])) == (call["tokens"], call["cost_usd"])
    assert call["agent"] == "playbook-agent"
    assert call["cost_usd"] > 0


async def _execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement))
