from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcore.cli.env import plotting
from agentcore.cli.main import run
from agentcore.training.errors import PlotUnavailable
from agentcore.training.recording import read_recording

OWN = """
from agentcore.training.openenv.models import Action

class Stubborn:
    def __init__(self, seed):
        self.number = 1 + seed % 100

    def act(self, observation):
        if self.number == 3:
            raise RuntimeError("I will not")
        return Action(type="guess", parameters={"number": self.number})

nothing = None
"""


def env(*arguments: str) -> int:
    return run(["env", *arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_a_run_is_reported_recorded_and_drawn(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--policy", "reference", "--episodes", "6", "--seed", "3", "--sessions", "3")
    files = ("--record", "r.jsonl.gz", "--json", "r.json", "--plot", "r.png")
    assert env("run", "guess_number", *asked, *files) == 0
    shown = capsys.readouterr().out
    assert "guess_number, 6 episodes, seeds 3 to 8" in shown
    (report,) = loaded(here / "r.json")["reports"]
    assert report["seeds"] == [3, 4, 5, 6, 7, 8]
    assert f"{report['mean']:.3f}" in shown
    recording = read_recording(here / "r.jsonl.gz")
    assert recording.complete
    assert [each.reward for each in recording.episodes] == report["rewards"]
    assert (recording.header.environment, recording.header.policy) == ("guess_number", "reference")
    image = (here / "r.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", image[16:24])
    assert (width, height) == (990, 462)


def test_the_same_seeds_give_the_same_rewards_however_many_sessions(here: Path) -> None:
    for name, sessions in (("a", "1"), ("b", "5")):
        assert (
            env("run", "guess_number", "--episodes", "10", "--sessions", sessions, "--json", name)
            == 0
        )
    one, other = (loaded(here / name)["reports"][0]["rewards"] for name in ("a", "b"))
    assert one == other


def test_an_own_policy_that_fails_is_exit_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "stubborn_player.py").write_text(OWN)
    arguments = ("--policy", "stubborn_player:Stubborn", "--episodes", "4", "--json", "-")
    assert env("run", "guess_number", *arguments) == 1
    told = capsys.readouterr()
    (report,) = json.loads(told.out)["reports"]
    assert report["rewards"][2] is None
    assert report["failures"] == {"policy_failed": 1}
    assert "1 of 4 failed: policy_failed" in told.err


def test_a_bench_ranks_and_compares_with_the_first(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--episodes", "12", "--sessions", "4", "--json", "b.json", "--success-reward", "0.5")
    assert env("bench", "guess_number", "--policies", "random,reference,random", *asked) == 0
    found = loaded(here / "b.json")
    assert [each["policy"] for each in found["reports"]] == ["random", "reference"]
    assert [each["policy"] for each in found["leaderboards"]["guess_number"]] == [
        "reference",
        "random",
    ]
    (comparison,) = found["comparisons"]
    assert (comparison["policy"], comparison["baseline"]) == ("reference", "random")
    assert comparison["difference"] > 0
    assert found["reports"][1]["success"]["mean"] > 0
    assert "against random, seed by seed" in capsys.readouterr().out


def test_a_bench_plays_all_known_policies(here: Path) -> None:
    assert env("bench", "guess_number", "--episodes", "2", "--json", "b.json") == 0
    assert [each["policy"] for each in loaded(here / "b.json")["reports"]] == [
        "random",
        "naive",
        "reference",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "guess_number", "--policy", "best"], 1, "has no policy 'best'"),
        (["run", "guess_number", "--policy", "absent.module:x"], 1, "cannot be imported"),
        (["run", "guess_number", "--policy", "stubborn_player:nothing"], 1, "not callable"),
        (["run", "absent"], 2, "there is no environment 'absent'"),
        (["run", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (["run", "guess_number", "--record", "no/where"], 1, "cannot record to no/where"),
        (["run", "guess_number", "--json", "no/where"], 1, "there is no directory no"),
        (["run", "guess_number", "--json", "."], 1, ". is a directory"),
        (["run", "guess_number", "--episodes", "0"], 2, "--episodes"),
        (["run", "guess_number", "--seed", str(2**64)], 2, "--seed"),
        (["bench", "guess_number", "--policies", "random,best"], 1, "has no policy 'best'"),
        (["bench"], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_played_is_said_in_a_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    (here / "stubborn_player.py").write_text(OWN)
    assert env(*arguments) == code
    told = capsys.readouterr()
    assert said in " ".join((told.out + told.err).split())
    assert "Traceback" not in told.err


def test_without_matplotlib_nothing_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "find_spec", lambda name: None)
    with pytest.raises(PlotUnavailable) as caught:
        plotting.require_matplotlib()
    assert "agentcore[plots]" in caught.value.hint
