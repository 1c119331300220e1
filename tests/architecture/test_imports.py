from __future__ import annotations

import subprocess
import sys

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.architecture import imports
from tests.architecture.source import ROOT, expect_none, found, product

HEAVY = {
    "alembic",
    "anthropic",
    "boto3",
    "dspy",
    "huggingface_hub",
    "kubernetes",
    "litellm",
    "matplotlib",
    "numpy",
    "openai",
    "pandas",
    "requests",
    "sqlalchemy.orm",
    "torch",
}
# What `agentcore --help` may not wait for.
SERVICE_ONLY = {
    "a2a",
    "aiohttp",
    "asyncpg",
    "fastapi",
    "pydantic",
    "redis",
    "sqlalchemy",
    "uvicorn",
}


def test_no_import_cycle_at_any_depth() -> None:
    findings = imports.cycles(imports.graph(product()))
    expect_none(findings)


def test_libraries_stay_with_their_keepers() -> None:
    findings = found(imports.libraries_out_of_place, product())
    expect_none(findings)


def test_import_contracts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        pytest.param("agentcore.app", HEAVY, id="the app"),
        pytest.param("agentcore.cli.commands", HEAVY | SERVICE_ONLY, id="the command line"),
    ],
)
def test_start_does_not_wait_for(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
