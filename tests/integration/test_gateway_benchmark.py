"""The harness measures what it says: its own load against its own upstream, in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import gateway, report
from benchmarks.gateway import SCENARIOS, Measured, Result, body
from benchmarks.load import Job, run
from benchmarks.upstream import ANSWER, EVENTS, PAUSE, Upstream
from tests.fakes.llm_upstream import fails, llm_upstream


@pytest.fixture
async def port() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def job(port: int, **changes: object) -> Job:
    known = {"port": port, "path": "/v1/chat/completions", "body": body(), "seconds": 0.1}
    return Job(**{**known, **changes})  # type: ignore[arg-type]  # a table of fields


async def test_a_closed_loop(port: int) -> None:
    outcome = await run(job(port, connections=4))
    assert len(outcome.latencies) > 20
    assert outcome.errors == 0
    assert all(0 < latency < 0.1 for latency in outcome.latencies)


async def test_an_open_loop_keeps_its_rate(port: int) -> None:
    outcome = await run(job(port, mode="open", connections=8, rate=200.0, seconds=0.5))
    assert 60 < len(outcome.latencies) < 140
    assert outcome.errors == 0


async def test_a_stream_counts_to_its_first_content(port: int) -> None:
    outcome = await run(job(port, mode="stream", body=body(stream=True)))
    assert len(outcome.latencies) == 1
    assert outcome.latencies[0] < 0.1 < (EVENTS - 2) * PAUSE < outcome.elapsed


async def test_errors_are_counted() -> None:
    async with llm_upstream() as upstream:
        upstream.behaviour = fails(500)
        port = int(upstream.url.rpartition(":")[2])
        outcome = await run(job(port))
    assert outcome.errors == len(outcome.latencies) > 0


def test_bodies_have_their_size() -> None:
    assert 1100 < len(body()) < 1300
    assert 60_000 < len(body(size=65_536)) < 70_000
    assert json.loads(ANSWER)["usage"]["total_tokens"] == 430


def test_a_target_is_known_or_refused() -> None:
    assert [each.name for each in gateway.chosen(["agentcore"])] == ["direct", "agentcore"]
    with pytest.raises(SystemExit, match="unknown target 'nginx'"):
        gateway.chosen(["nginx"])


def test_a_report_says_which_goals_are_kept(tmp_path: Path) -> None:
    def result(name: str, milliseconds: float, cpu: float | None) -> Result:
        measured = Measured(milliseconds, milliseconds, milliseconds, 100, 0, 1000.0, cpu)
        return Result(name, 50.0, {scenario.name: measured for scenario in SCENARIOS})

    measured = {
        "at": "2026-01-01T00:00:00+00:00",
        "machine": {"cores": 2, "python": "3.11", "system": "Linux"},
        "results": [
            asdict(result("direct", 0.05, None)),
            asdict(result("agentcore", 0.2, 200.0)),
        ],
    }
    text = report.table(measured)
    assert "CPU per request, c16: 200 us, goal 180 us: MISSED" in text
    assert "added p50, c1: 0.15 ms, goal 0.25 ms: kept" in text
    path = report.save(measured, tmp_path)
    assert json.loads(path.read_text()) == measured
    report.plot(measured, path.with_suffix(".png"))
    assert path.with_suffix(".png").stat().st_size > 1000
