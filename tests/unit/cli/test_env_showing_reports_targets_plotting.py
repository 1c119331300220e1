from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcore.cli.env.plotting import draw
from agentcore.cli.env.showing import progress_bar, show_reports, write_json
from agentcore.cli.env.targets import opened
from agentcore.training.evaluation import evaluate
from agentcore.training.models import Episode, EpisodeFailure, EvaluationReport, RolloutResult
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import ScriptedServer, serving

LOST = EpisodeFailure("step", "session_lost", "gone [red]\x1b[2J", "reset [b]")


def report(policy: str, *rewards: float | None, environment: str = "e") -> EvaluationReport:
    episodes = [
        Episode(index=at, seed=at, failure=LOST)
        if reward is None
        else Episode(index=at, seed=at, rewards=(reward,), terminated=True)
        for at, reward in enumerate(rewards)
    ]
    return evaluate(RolloutResult(tuple(episodes), 1.0), policy=policy, environment=environment)


MANY = [
    report("a", *(number % 7 for number in range(300))),
    report("b", *(number % 5 for number in range(300))),
    report("none", None, None, environment="f"),
]


def test_tables_name_ties_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    show_reports([report("a", 1.0, 2.0, 3.0), report("b", 1.5, 2.5, None)], to_errors=False)
    told = capsys.readouterr().out
    assert "overlapping intervals: b – a" in told or "overlapping intervals: a – b" in told
    assert "b: 1 of 3 failed: session_lost: gone [red]\\x1b[2J" in told
    assert "  hint: reset [b]" in told
    assert "…" not in told, "it fits 80 columns"


def test_what_is_unknown_is_not_a_number(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reports = [report("a", None), report("b", None)]
    show_reports(reports, to_errors=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "nan" not in told.err
    write_json(reports, tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_bytes())
    assert found["comparisons"] == []
    assert found["reports"][0]["mean"] is None


def test_pictures_have_a_panel_for_each_environment(tmp_path: Path) -> None:
    draw(MANY, tmp_path / "both.png")
    draw(MANY[:2], tmp_path / "one.png")
    both, one = ((tmp_path / name).read_bytes() for name in ("both.png", "one.png"))
    assert int.from_bytes(both[20:24], "big") == 2 * int.from_bytes(one[20:24], "big")


def test_a_bar_that_nobody_sees_takes_everything() -> None:
    with progress_bar("x", 2) as advance:
        advance(Episode(index=0, seed=0, rewards=(1.0,)))
        advance(Episode(index=1, seed=1, failure=LOST))


async def test_names_are_served_here_and_urls_are_asked() -> None:
    async with opened("guess_number", "", 5.0) as here:
        assert (here.name, here.url) == ("guess_number", "")
        session = here.sessions(0)
        assert (await session.reset(1)).state == {"hint": "start"}
        await session.close()
    async with serving(EnvironmentServer("guess_number", GuessNumber)) as url:
        async with opened(url, "", 5.0) as there:
            assert (there.name, there.url) == ("guess_number", url)


async def test_only_the_token_that_is_given_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCORE_TOKEN", "of the service")
    (tmp_path / "token").write_text("of the server\n")
    server = ScriptedServer()
    async with server.running() as url:
        for token in ("", f"file:{tmp_path / 'token'}"):
            server.requested.clear()
            async with opened(url, token, 5.0):
                sent = {header for _, header in server.requested}
            assert sent == {"Bearer of the server" if token else ""}
