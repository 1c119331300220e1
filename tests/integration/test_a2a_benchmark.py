"""The harness of ``bench a2a`` measures what it says, here on a server of the test's own."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentcore.a2a_protocol.hosting import Hosting
from agentcore.kit.db import Database
from benchmarks import a2a as benchmark
from benchmarks import a2a_load, a2a_report, a2a_service
from benchmarks.a2a import SCENARIOS, Measured, middle_of, summed_up
from benchmarks.a2a_load import AGENT, Job, Outcome
from tests.fakes.a2a import a2a, app_of, served
from tests.fakes.waiting import in_time

FIGURES = Measured(1.0, 2.0, 3.0, per_second=400.0, cpu_ms=90.0, count=4, errors=0)


async def test_the_load_sees_tasks_complete(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(a2a_load, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(a2a_service, "TICK_SECONDS", 0.02)
    async with a2a(database) as runtime, served(app_of(runtime)) as url:
        runtime.hosted.add(Hosting(agent_id=AGENT, agent=a2a_service.Measured()))

        async def load(seconds: float) -> None:
            job = Job(urlsplit(url).port or 0, os.getpid(), "send", connections=2, seconds=seconds)
            sent = await a2a_load.run(job)
            chunks = await a2a_load.run(replace(job, mode="chunks"))
            heard = await a2a_load.run(replace(job, mode="fan", connections=3))
            assert (sent.errors, chunks.errors) == (0, 0)
            assert len(sent.latencies) >= 2
            assert sent.cpu > 0
            assert len(heard.latencies) >= 3
            assert min(heard.latencies) > 0

        await in_time(load)


async def test_an_answer_without_a_complete_task_is_an_error(database: Database) -> None:
    async with a2a(database) as runtime, served(app_of(runtime)) as url:

        async def load(seconds: float) -> None:
            job = Job(urlsplit(url).port or 0, os.getpid(), "send", seconds=seconds)
            assert (await a2a_load.run(job)).errors > 0, "no such agent"

        await in_time(load, 0.02)


def test_rounds_are_summed_up() -> None:
    taken = [
        summed_up(Outcome([0.001 * at for at in range(1, n)], 1, 2.0, 1.0)) for n in (5, 9, 101)
    ]
    middle = middle_of(taken)
    assert (middle.per_second, middle.count, middle.errors) == (4.0, 112, 3)
    assert middle.p50_ms == pytest.approx(5.0)
    with pytest.raises(RuntimeError, match="no answer"):
        summed_up(Outcome([], 0, 1.0, 0.0))


@pytest.mark.parametrize(("theirs", "verdict"), [(190.0, "kept"), (210.0, "MISSED")])
def test_a_report_says_which_goals_are_kept(tmp_path: Path, theirs: float, verdict: str) -> None:
    figures = {scenario.name: asdict(FIGURES) for scenario in SCENARIOS}
    slower = {name: {**each, "per_second": theirs} for name, each in figures.items()}
    report = {
        "at": "2026-01-01T00:00:00+00:00",
        "machine": {"cores": 2, "load": [0.5, 1.0]},
        "rss_mib": {"agentcore": 150.0, "a2a-sdk": 90.0},
        "servers": {"agentcore": figures, "a2a-sdk": slower},
    }
    text = a2a_report.table(report)
    assert f"x the SDK's server: {400 / theirs:.3g}, goal >= 2: {verdict}" in text
    assert "CPU ms of a task of 400 streamed chunks: 90, goal < 100: kept" in text
    if verdict == "kept":
        a2a_report.plot(report, tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 1000


def test_the_peer_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"dev\.py bench a2a"):
        benchmark.run(seconds=0.1, rounds=1, peer=tmp_path / "none")
