from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentcore.cli.main import run
from tests.fakes.deployment import agentcore, clean_environment


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("serve", "demo", "db", "token", "env", "models", "agents", "costs", "ace"):
        assert command in shown


KEY = ["keys", "create", "--subject", "a", "--scope", "llm"]
TOKEN = ["token", "--subject", "a", "--scope", "llm"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--port", "x"],
        ["token"],
        ["simulate", "cluster", "x"],
        [*KEY, "--days", "1e9"],
        [*TOKEN, "--hours", "inf"],
        ["costs", "--roi", "--gpu-price", "inf"],
        ["costs", "--roi", "--hosting", "1e300"],
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_budget_of_nobody_is_not_the_tenants(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["budgets", "set", "5", "--agent", ""]) == 1
    assert "has no name" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    heavy = ("fastapi", "sqlalchemy", "aiohttp", "redis", "a2a", "pydantic", "httpx2", "alembic")
    script = (
        "import sys; from agentcore.cli.main import run; run(['--help']); "
        f"sys.exit(', '.join(m for m in {heavy!r} if m in sys.modules) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"imported: {ended.stderr}"


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    ended = agentcore("token", "--subject", "x", "--scope", "everything", home=tmp_path)
    assert ended.returncode == 1
    assert "agentcore: unknown scope 'everything'" in ended.stderr
    assert "hint: scopes are:" in ended.stderr
