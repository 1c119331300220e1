from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore.cli.main import run
from agentcore.training.models import Transition
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.recording import Recorder, RecordingHeader
from tests.fakes.deployment import clean_environment


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


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("{folder}/evil.py:Evil", ""),
        ("os:system", ""),
        ("http://127.0.0.1:9/envs/guess_number", ""),
        ("guess_number", "http://127.0.0.1:9/envs/guess_number"),
        ("guess_number", "{folder}/evil.py:Evil"),
        ("\x1b[2J", ""),
    ],
)
def test_a_recording_chooses_neither_code_nor_server(
    named: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    header = RecordingHeader(
        environment=named.format(folder=tmp_path), url=url.format(folder=tmp_path)
    )
    Recorder(tmp_path / "r", header).close()
    assert env("replay", str(tmp_path / "r"), "--token", "secret") == 1
    told = capsys.readouterr().err
    assert "the recording was made" in told
    assert "--url URL|NAME" in told
    assert "\x1b" not in told
    assert not ran.exists()


def test_the_caller_names_the_environment(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "agentcore.training.openenv.environments.examples.guess_number:GuessNumber"
    assert env("replay", str(recorded), "--url", own) == 0
    assert "5 of 5 episodes the same" in capsys.readouterr().out


def test_nothing_replayed_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Recorder(tmp_path / "r", RecordingHeader(environment="guess_number")).close()
    assert env("replay", str(tmp_path / "r")) == 1
    assert "holds no episode" in capsys.readouterr().err


def test_an_episode_that_is_there_twice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path / "r", RecordingHeader(environment="guess_number")) as recorder:
        for _ in range(2):
            recorder.began(3, 1, Observation(state={}), 0.0)
    assert env("replay", str(tmp_path / "r")) == 1
    assert "holds episode 3 twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "{recorded}", "--url", "http://["],
        ["replay", "{recorded}", "--url", "http://[::1"],
        ["run", "http://["],
        ["bench", "http://[::1"],
        ["run", "http://h:99999"],
        ["list", "--url", "http://[::1"],
        ["list", "--url", "http://h:x"],
    ],
)
def test_what_is_no_url_is_said_in_a_line(
    arguments: list[str], recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env(*(each.format(recorded=recorded) for each in arguments)) == 1
    assert "is not a URL" in capsys.readouterr().err


def test_what_cannot_be_written_is_said_in_a_line(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env("export", str(recorded), "-o", "/nonexist/x") == 1
    assert "cannot write /nonexist/x: No such file" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "{recorded}"],
        ["run", "guess_number", "--episodes", "1", "--json", "-"],
    ],
)
def test_a_full_output_is_said_in_a_line(arguments: list[str], recorded: Path) -> None:
    words = [each.format(recorded=recorded) for each in arguments]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "agentcore", "env", *words],
            env=clean_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "agentcore: No space left on device"
    assert "Traceback" not in ended.stderr
