"""Playbooks read from a real server by real clients, while it evolves them.

The server has a core of its own where there are two; clients, a simulated model and PostgreSQL
share the rest.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict

import aiohttp

from benchmarks.load import Job, Outcome
from benchmarks.measured import Measured, percentile
from benchmarks.processes import LOAD_CORE, TARGET_CORE, running
from benchmarks.targets import served
from tests.fakes.ports import free_port

READERS = 100
# Of all readers together, each second.
RATE = 1000.0
MODEL = "playbook-7b"
CONTEXT = "/internal/context"
FAILURE = "missing 'capabilities' in discover_agents"


async def reading_over_http(share: float) -> list[Measured]:
    """Keeps 002-behaviour-playbook-retrieval-latency with all of the service in between."""
    port = free_port()
    command = [sys.executable, "-m", "agentcore", "simulate", "cluster", "--port", str(port)]
    provider: Mapping[str, object] = {
        "name": "cluster",
        "kind": "parallax",
        "base_url": f"http://127.0.0.1:{port}",
        "private": True,
        "models": {MODEL: f"simulated/{MODEL}"},
    }
    settings = {"AGENTCORE_ACE__ACE_LLM_MODEL": MODEL, "AGENTCORE_SERVER__LOG_LEVEL": "warning"}
    with (
        running(command, port, core=LOAD_CORE),
        served([provider], core=TARGET_CORE, scope="admin", settings=settings) as service,
    ):
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{service.port}", headers=service.headers
        ) as http:
            await _prepared(http)
            paced = Job(
                port=service.port,
                path=f"{CONTEXT}/playbooks/reader-{{n}}",
                body="",
                headers=service.headers,
                method="GET",
                mode="open",
                connections=READERS,
                seconds=10 * share,
                rate=RATE,
            )
            beside, evolved = await _while_evolving(http, paced)
            without_pause = Job(**{**asdict(paced), "mode": "closed"})
            hasty, _ = await _while_evolving(http, without_pause)
    title = f"{READERS} readers, {RATE:g}/s, {evolved} evolutions"
    return [
        Measured(f"read over HTTP, p95, {title}", _p95(beside), "ms", 5),
        Measured("the same, p50", percentile(beside.latencies, 50) * 1e3, "ms"),
        Measured(f"{READERS} readers that never rest, p95", _p95(hasty), "ms"),
        Measured("what they read", len(hasty.latencies) / hasty.elapsed, "1/s"),
        Measured("reads that failed", beside.errors + hasty.errors, "", 0),
    ]


async def _prepared(http: aiohttp.ClientSession) -> None:
    """A playbook of 20 rules for each reader."""
    rules = [
        {"op": "ADD", "section": "checks", "text": f"Rule {number}: ask for the id of the order."}
        for number in range(20)
    ]
    for number in range(READERS):
        agent = f"reader-{number}"
        await _sent(http, "POST", "/playbooks", {"agent_id": agent, "initial_context": {}})
        delta = {"delta_id": "rules", "changes": {"ops": rules}, "confidence": 1.0}
        await _sent(http, "PATCH", f"/playbooks/{agent}", delta)
        await _sent(http, "GET", f"/playbooks/{agent}")


async def _while_evolving(http: aiohttp.ClientSession, job: Job) -> tuple[Outcome, int]:
    """The load's outcome; agents get traces and are evolved one after the other meanwhile."""
    loading = asyncio.create_task(asyncio.to_thread(_load, job))
    evolved = 0
    while not loading.done():
        agent = f"reader-{evolved % READERS}"
        trace = {
            "agent_id": agent,
            "task_id": f"task-{evolved}",
            "execution_time": 1.0,
            "success": False,
            "error_message": FAILURE,
        }
        await _sent(http, "POST", "/traces", trace)
        await _sent(http, "POST", "/evolution/trigger", {"agent_id": agent, "force": True})
        evolved += 1
        # Ten evolutions a second: a hundred traces of each of 36,000 agents in an hour.
        await asyncio.sleep(0.1)
    return loading.result(), evolved


def _load(job: Job) -> Outcome:
    with tempfile.NamedTemporaryFile() as answer:
        command = [sys.executable, "-m", "benchmarks.load", str(LOAD_CORE), answer.name]
        subprocess.run(command, input=json.dumps(asdict(job)), text=True, check=True)
        return Outcome(**json.loads(answer.read()))


async def _sent(
    http: aiohttp.ClientSession, method: str, path: str, body: Mapping[str, object] | None = None
) -> None:
    async with http.request(method, CONTEXT + path, json=body) as answer:
        answer.raise_for_status()
        await answer.read()


def _p95(outcome: Outcome) -> float:
    return percentile(outcome.latencies, 95) * 1e3
