"""The harness measures what it says: both servers started, its own client and upstream's."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from agentcore.training.openenv.server import EnvironmentServer
from benchmarks import openenv, openenv_report, openenv_soak
from benchmarks.openenv import PAIRS, SESSIONS, Measured
from benchmarks.openenv_echo import Echo
from benchmarks.openenv_load import Job, run
from benchmarks.openenv_pool import Scaling, summed_up
from tests.fakes.openenv_servers import ScriptedServer, observation, serving
from tests.fakes.waiting import in_time


async def test_the_load_plays_with_every_session_and_checks_the_answers() -> None:
    async def load(seconds: float) -> None:
        job = Job("agentcore", url, {"message": "hello"}, sessions=4, seconds=seconds)
        outcome = await run(job)
        assert len(outcome.latencies) > 4
        assert outcome.cpu > 0
        assert outcome.elapsed >= seconds

    async with serving(EnvironmentServer("echo", Echo)) as url:
        await in_time(load)


async def test_a_server_that_answers_anything_is_not_the_fastest() -> None:
    async with ScriptedServer(steps=[observation(0.7)]).running() as url:
        with pytest.raises(AssertionError, match=r"0\.7"):
            await run(Job("agentcore", url, {"message": "hello"}, seconds=0.05))


@pytest.mark.parametrize(("ours", "verdict"), [(2.0, "kept"), (1.9, "MISSED")])
def test_a_report_says_which_goals_are_kept(tmp_path: Path, ours: float, verdict: str) -> None:
    measured = asdict(Measured(0.1, 0.2, 1000.0, 40.0, 50.0, 3.0, 100))
    ratios = {
        "pair": {"steps": ours, "p50": 0.5, "p95": 0.5, "cpu": 0.5, "ends": 0.9},
        "client": {"steps": 1.2, "p50": 0.9, "p95": 0.9, "cpu": 0.9, "ends": 0.9},
    }
    report = {
        "at": "2026-01-01T00:00:00+00:00",
        "machine": {"cores": 2},
        "scaling": [
            summed_up("Idle", 1, [Scaling(9000.0, 0.0, 30.0, 40.0)]),
            summed_up("Asleep", 2, [Scaling(1700.0, 0.001, 30.0, 40.0)]),
        ],
        "rss_mib": {"idle": {"agentcore": 50.0, "official": 165.0}},
        "whole": True,
        "pairs": {pair.name: {str(count): measured for count in SESSIONS} for pair in PAIRS},
        "ratios": {str(count): ratios for count in SESSIONS},
    }
    text = openenv_report.table(report)
    assert f"steps/s, our pair to upstream's, 16: {ours:.2f}, goal >= 2: {verdict}" in text
    assert "CPU of our client to our server's, 64: 0.90, goal < 1: kept" in text
    assert "step_many, share of what 2 servers can do: 0.85, goal >= 0.85: kept" in text
    assert "server RSS, idle: 50 of 165 MiB = 0.30, goal <= 0.4: kept" in text
    trimmed = openenv_report.table({**report, "whole": False})
    assert "= 0.30, goal <= 0.4: not judged: upstream's has no browser page" in trimmed
    assert json.loads(json.dumps(report)) == report
    openenv_report.plot(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_the_soak_counts_growth(capsys: pytest.CaptureFixture[str]) -> None:
    assert openenv_soak.run(320) == 0
    assert "server: " in capsys.readouterr().out


def test_upstreams_package_of_the_tests_is_not_whole() -> None:
    assert not openenv.whole(openenv.PEERS)
    assert not openenv.whole(Path(sys.executable)), "gradio is not a dependency of ours"


def test_upstreams_package_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"dev\.py peers"):
        openenv.run(seconds=0.1, rounds=1, peers=tmp_path / "none")
