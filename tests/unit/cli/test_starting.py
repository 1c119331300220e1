from __future__ import annotations

import sys

import pytest

from agentcore.cli.main import run


def test_a_service_is_started_without_the_other_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "agentcore.cli.commands", raising=False)
    assert run(["serve", "--help"]) == 0
    assert "serve [OPTIONS]" in capsys.readouterr().out
    assert "agentcore.cli.commands" not in sys.modules
