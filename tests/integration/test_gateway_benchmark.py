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
from benchmarks.gateway_soak import Soaked
from benchmarks.load import Job, run
from benchmarks.processes import chosen_port
from benchmarks.upstream import ANSWER, EVENTS, PAUSE, Upstream
from tests.fakes.llm_upstream import fails, llm_upstream
from tests.fakes.waiting import in_time


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
    async def ask(seconds: float) -> None:
        outcome = await run(job(port, connections=4, seconds=seconds))
        assert len(outcome.latencies) > 20
        assert outcome.errors == 0
        # Each connection asks again when it was answered.
        assert 0 < sum(outcome.latencies) <= 4 * outcome.elapsed

    await in_time(ask)


async def test_an_open_loop_keeps_its_rate(port: int) -> None:
    outcome = await run(job(port, mode="open", connections=8, rate=200.0, seconds=0.5))
    # As many as its chance has moments in that time, also where they come late.
    assert 60 < len(outcome.latencies) < 140
    assert outcome.errors == 0


async def test_a_stream_counts_to_its_first_content(port: int) -> None:
    asked = job(port, mode="stream", body=body(stream=True))
    while not (outcome := await run(asked)).latencies:
        pass  # the time was over before it began
    assert len(outcome.latencies) == 1
    # Its end comes after all the pauses, each of which begins with the event before.
    assert outcome.elapsed - outcome.latencies[0] > (EVENTS - 2) * PAUSE / 2
    # The first and the last event do not say when they were sent.
    assert len(outcome.delays) == EVENTS - 2
    assert all(0 < delay < outcome.elapsed for delay in outcome.delays)


async def test_errors_are_counted() -> None:
    async with llm_upstream() as upstream:
        upstream.behaviour = fails(500)
        port = int(upstream.url.rpartition(":")[2])

        async def ask(seconds: float) -> None:
            outcome = await run(job(port, seconds=seconds))
            assert outcome.errors == len(outcome.latencies) > 0

        await in_time(ask)


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
    assert "load of the machine: unknown" in text
    assert "CPU per request, c16: 200 us, goal 180 us: MISSED" in text
    assert "requests per core, x Portkey: goal at least 3.5 x: not measured" in text
    assert "added p50, c1: 0.15 ms, goal 0.25 ms: kept" in text
    path = report.save(measured, tmp_path)
    assert json.loads(path.read_text()) == measured
    report.plot(measured, path.with_suffix(".png"))
    assert path.with_suffix(".png").stat().st_size > 1000


def test_ratios_have_the_better_one_above() -> None:
    """Requests per core are the inverse of CPU per request."""
    cpu = {"direct": 10.0, "starlette+aiohttp": 100.0, "agentcore": 150.0, "litellm": 6000.0}
    figures = {name: {"c16": {"cpu_us": value}} for name, value in cpu.items()}
    told = {goal.name: goal.told(figures) for goal in report.GOALS}
    assert told["CPU, x the bare pass-through"].endswith("1.5 x, goal 1.4 x: MISSED")
    assert told["requests per core, x LiteLLM"].endswith("40 x, goal at least 35 x: kept")
    assert told["requests per core, x TensorZero"].endswith("not measured")


def test_of_several_rounds_the_middle_one_counts() -> None:
    rounds = [Measured(at, at, at, 10, 1, at, at, delay) for at, delay in ((3, 1), (1, 9), (2, 2))]
    assert gateway.middle_of(rounds) == Measured(2, 2, 2, 30, 3, 2, 2, 2)
    bare = [Measured(1, 1, 1, 10, 0, 1, None)]
    assert gateway.middle_of(bare).cpu_us is gateway.middle_of(bare).delay_p99_ms is None


def test_a_soak_tells_growth_and_goals() -> None:
    soaked = Soaked(200_000, 1000, 0, before=100.0, after=106.0, most=250.0)
    assert soaked.growth == pytest.approx(6.0)
    assert [line.rpartition(": ")[2] for line in soaked.lines()[2:]] == ["kept", "MISSED", "kept"]


def test_a_port_that_a_program_chooses(tmp_path: Path) -> None:
    told = tmp_path / "port"
    assert chosen_port(told) == 0
    told.touch()
    assert chosen_port(told) == 0
    told.write_text("4711")
    assert (chosen_port(told), chosen_port(80)) == (4711, 80)
