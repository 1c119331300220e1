from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.own_agents import host
from agentcore.kit.errors import StartupError

MODULE = """
from agentcore.a2a_protocol.hosting import Hosting

class Agent:
    async def handle(self, message, task):
        await task.complete("done")

ONE = Hosting(agent_id="one", agent=Agent())
SAME = Hosting(agent_id="one", agent=Agent())
NUMBER = 5
"""
BROKEN = "import a_module_that_nobody_has_written"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with modules whose names no other test has."""
    (tmp_path / "own_agents_whole.py").write_text(MODULE)
    (tmp_path / "own_agents_broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own_agents_whole", "own_agents_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_an_agent_is_found_in_the_working_directory(folder: Path) -> None:
    hosted = HostedAgents()
    host(["own_agents_whole:ONE"], hosted)
    assert [each.agent_id for each in hosted] == ["one"]
    host([], hosted)
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["own_agents_whole"], "names no agent"),
        ([":ONE"], "names no agent"),
        (["own_agents_nowhere:ONE"], "cannot be imported: No module named 'own_agents_nowhere'"),
        (["own_agents_broken:ONE"], "cannot be imported: No module named 'a_module_that"),
        (["own_agents_whole:TWO"], "TWO is not there"),
        (["own_agents_whole:NUMBER"], "NUMBER is a int"),
        (["own_agents_whole:ONE", "own_agents_whole:SAME"], "has the id 'one', which another"),
    ],
)
def test_what_is_no_agent_is_said(folder: Path, names: list[str], said: str) -> None:
    with pytest.raises(StartupError) as caught:
        host(names, HostedAgents())
    assert said in caught.value.detail
    assert caught.value.hint
