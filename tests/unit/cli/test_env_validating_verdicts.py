"""The command as a user meets it: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from agentcore.cli.env.loopback import served_on_loopback
from agentcore.cli.env.verdicts import show_report
from agentcore.cli.main import run
from agentcore.training.openenv.conformance.models import Report, Result
from agentcore.training.openenv.conformance.suite import CHECKS
from tests.fakes.openenv_defects import DEFECTS
from tests.fakes.openenv_sound import ORCHESTRATOR, SoundServer


@contextmanager
def in_a_thread(app: Starlette) -> Iterator[str]:
    """A server for a command that runs an event loop of its own."""
    import asyncio

    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with served_on_loopback(app) as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield urls[0]
    finally:
        done.set()
        thread.join()


def validate(*arguments: str) -> int:
    return run(["env", "validate", *arguments])


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_a_bundled_environment_passes_every_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    assert validate("guess_number", "--strict", "--json", str(path)) == 0
    captured = capsys.readouterr()
    shown = captured.out
    assert captured.err == ""
    assert "passed: " in shown
    assert all(check.id in shown for check in CHECKS)
    report = loaded(path)
    assert report["passed"] is True
    assert report["counts"] == {"pass": len(CHECKS), "fail": 0, "warn": 0, "skipped": 0}
    assert [result["id"] for result in report["results"]] == [check.id for check in CHECKS]


def test_given_tokens_are_those_of_the_door(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    given = ("--token", "the-one", "--agent-token", "the-other", "--json", str(path))
    assert validate("guess_number", "--only", "auth,agent-scope", "--strict", *given) == 0
    assert loaded(path)["counts"]["pass"] == 2
    assert "the-o" not in path.read_text()


def test_a_failure_is_explained_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "report.json"
    with in_a_thread(DEFECTS["finite-rewards"]().app()) as url:
        asked = ("--token", ORCHESTRATOR, "--only", "health,finite-rewards", "--seed", "3")
        assert validate(url, *asked, "--json", str(path)) == 1
    shown = capsys.readouterr().out
    for told in (
        "fail finite-rewards",
        "missing reward is null",
        '"reward": NaN',
        '> {"type":"step","data":{"move":',
        f"agentcore env validate {url} --token ... --only finite-rewards --seed 3",
        "failed: 1 passed, 1 failed, 0 warned, 0 skipped",
    ):
        assert told in shown, told
    assert ORCHESTRATOR not in shown + path.read_text()
    assert loaded(path)["passed"] is False


def test_a_file_of_actions_is_named_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    path = tmp_path / "actions"
    path.write_text(json.dumps([{"move": 2, "note": "x" * 5000}]))
    with in_a_thread(DEFECTS["openapi"]().app()) as url:
        asked = ("--token", ORCHESTRATOR, "--only", "openapi", "--actions", str(path))
        validate(url, *asked)
    shown = capsys.readouterr().out
    assert f"--actions {path} --only openapi" in shown
    assert len(shown) < 5000


def test_the_report_goes_to_the_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("guess_number", "--only", "health", "--json", "-") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["results"][0]["outcome"] == "pass"
    assert "passed: 1 passed" in captured.err


def test_warnings_fail_when_asked_to() -> None:
    with in_a_thread(DEFECTS["done-once"]().app()) as url:
        asked = (url, "--token", ORCHESTRATOR, "--only", "done-once")
        assert validate(*asked) == 0
        assert validate(*asked, "--strict") == 1


@pytest.mark.parametrize("text", ['[{"move": 2}, {"move": 3}]', '{"move": 2}\n\n{"move": 3}\n'])
def test_given_actions_are_played(text: str, tmp_path: Path) -> None:
    played: list[object] = []

    class Listening(SoundServer):
        def judge(self, action: dict[str, Any]) -> None:
            played.append(action.get("move"))
            super().judge(action)

    path = tmp_path / "actions"
    path.write_text(text)
    with in_a_thread(Listening().app()) as url:
        asked = (url, "--token", ORCHESTRATOR, "--only", "episode-ends")
        assert validate(*asked, "--action", '{"move": 1}', "--actions", str(path)) == 0
    assert played[:4] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["http://127.0.0.1:1"], "is the server up"),
        (["http://[::1"], "is not a URL"),
        (["http://h:x"], "is not a URL"),
        (["ftp://127.0.0.1"], "no http:// or https:// URL"),
        (["nonsense"], "no environment 'nonsense'"),
        (["guess_number", "--only", "helth"], "no such check: helth"),
        (["guess_number", "--action", "{"], "is no JSON"),
        (["guess_number", "--action", "[1]"], "an action is a JSON object"),
        (["guess_number", "--actions", "absent"], "absent cannot be read"),
        (["guess_number", "--json", "absent/report.json"], "there is no directory absent"),
    ],
)
def test_what_cannot_be_checked_is_exit_2(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert validate(*arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_an_empty_file_of_actions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    assert validate("guess_number", "--actions", str(tmp_path / "none.json")) == 2


def test_nothing_foreign_steers_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    evil = "\x1b]0;owned\x07\0\x9b2J" + "x" * 5000
    result = Result(
        id="health",
        title="it is healthy",
        section="1",
        severity="must",
        outcome="fail",
        reason=evil,
        expected=evil,
        got=evil,
        reproduce=(f"< {evil}",),
        seconds=0.1,
    )
    report = Report(
        url="http://x", environment=evil, version=evil, seed=1, results=(result,), seconds=0.1
    )
    show_report(report, "again", strict=False, to_errors=False)
    told = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in told)
    assert "\\x1b]0;owned\\x07\\x00\\x9b2J" in told
    assert told.count("x" * 100) < 60
