from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcore.cli.main import run
from agentcore.training.models import Transition
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.recording import Recorder, RecordingHeader


def env(*arguments: str) -> int:
    return run(["env", *arguments])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "r.jsonl.gz"
    assert env("run", "guess_number", "--episodes", "5", "--record", str(path)) == 0
    return path


def test_a_recording_is_replayed_where_it_was_made(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env("replay", str(recorded)) == 0
    assert "5 of 5 episodes the same" in capsys.readouterr().out


def test_the_first_divergence_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r"
    with Recorder(path, RecordingHeader(environment="guess_number", version="0.1")) as recorder:
        recorder.began(0, 1, Observation(state={"hint": "start"}), 0.0)
        step = Transition(
            observation={},
            action=Action(type="guess", parameters={"number": 1}),
            reward=0.25,
            next_observation={"hint": "low"},
            terminated=False,
            truncated=False,
        )
        recorder.stepped(0, 1, step)
        assert env("replay", str(path)) == 1
    told = capsys.readouterr()
    assert "episode 0 (seed 1): diverged at step 1, /reward: recorded 0.25, found -0.1" in told.out
    assert "recorded with version 0.1" in told.err
    assert "is cut off" in told.err
    assert env("replay", str(path), "--ignore", "/reward") == 0


def test_recordings_become_rows_for_trainers(
    recorded: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert env("export", str(recorded), "--format", "verifiers") == 0
    lines = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["example_id"] for line in lines] == list(range(5))
    output = tmp_path / "rows.jsonl"
    assert env("export", str(recorded), "--format", "trl-messages", "-o", str(output)) == 0
    assert len(output.read_bytes().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "absent"], "No such file"),
        (["export", "absent"], "No such file"),
        (["replay", __file__], "damaged"),
    ],
)
def test_what_is_no_recording_is_said_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env(*arguments) == 1
    assert said in capsys.readouterr().err
