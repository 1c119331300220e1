"""The pages about evaluation and recordings, run as they are written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcore.cli.main import run
from agentcore.training.models import ScheduleDraft
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.server import EnvironmentServer
from tests.architecture.pages import command_lines
from tests.fakes.openenv_servers import serving

PAGES = Path(__file__).parent.parent.parent / "docs" / "how-to"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(page: str) -> str:
    return (PAGES / page).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_player", None)


def run_all(page: str) -> None:
    for command in command_lines(text(page)):
        assert command[0] == "agentcore"
        assert run(command[1:]) == 0, command


def test_the_commands_of_an_evaluation_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    player = BLOCK.findall(text("evaluate-a-policy.md"))[0]
    (here / "my_player.py").write_text(player)
    run_all("evaluate-a-policy.md")
    assert (here / "rewards.png").read_bytes().startswith(b"\x89PNG")
    ranked = json.loads((here / "bench.json").read_bytes())["leaderboards"]["guess_number"]
    assert [each["policy"] for each in ranked] == ["reference", "naive", "random"]
    assert "my_player:Middle" in capsys.readouterr().out


async def test_the_python_of_an_evaluation_works() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.findall(text("evaluate-a-policy.md"))[1:]:
        exec(block, names)
    async with serving(EnvironmentServer("guess_number", GuessNumber)) as url:
        difference, p = await names["evaluate"](url)
        assert difference > 0
        assert p < 0.01
        assert await names["first_steps"]([url, url]) <= 16
    ScheduleDraft.model_validate(names["NIGHTLY"])


def test_the_commands_of_a_recording_work(here: Path) -> None:
    run_all("record-and-replay.md")
    names: dict[str, Any] = {}
    (block,) = BLOCK.findall(text("record-and-replay.md"))
    exec(block, names)
    assert len(names["rewards"]) == 10
    rows = [json.loads(line) for line in (here / "rollouts.jsonl").read_bytes().splitlines()]
    columns = text("record-and-replay.md").split("| `verifiers` |")[1].splitlines()[0]
    assert set(rows[0]) == set(re.findall(r"`(\w+)`", columns))
