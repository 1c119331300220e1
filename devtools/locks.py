"""Renewing the lock files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Mapping, Sequence

from devtools.installers import find_pip, installer_environment
from devtools.interpreters import find_python
from devtools.venvs import (
    A2A,
    BOOTSTRAP,
    GATEWAYS,
    INFERENCE,
    MAIN,
    NODE,
    OLDER_PEERS,
    PEERS,
    ROOT,
    SetupFailed,
    say,
)

EXCLUDED = ["--excludes", "tests/peers/excluded.txt"]
LOCKS = {
    MAIN.lock: ["--all-extras", "pyproject.toml"],
    PEERS.lock: ["tests/peers/requirements.in", *EXCLUDED],
    **{
        venv.lock: [f"tests/peers/{venv.lock.stem.replace('-peers', '')}.in", *EXCLUDED]
        for venv in OLDER_PEERS
    },
    # Its server loads what the others' never use.
    INFERENCE.lock: ["tests/peers/requirements-inference.in"],
    GATEWAYS.lock: ["benchmarks/peers/requirements.in"],
    A2A.lock: ["benchmarks/peers/requirements-a2a.in"],
    NODE.lock: ["tests/peers/requirements-node.in"],
    BOOTSTRAP: ["devtools/bootstrap.in"],
}
COMPILE = [
    *(str(MAIN.bin / "uv"), "pip", "compile", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--quiet"),
]
ELSEWHERE = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


def write_locks(args: Sequence[str]) -> None:
    settings = installer_environment(find_pip(MAIN, find_python()))
    # From the default index alone: a lock must not depend on what else this machine sees.
    env = {name: value for name, value in settings.items() if name not in ELSEWHERE}
    for lock, sources in LOCKS.items():
        write_lock(lock, [*sources, *args], env)


def write_lock(lock: Path, options: Sequence[str], env: Mapping[str, str]) -> None:
    """Resolves into a copy, so that a failure leaves the lock as it was."""
    fresh = lock.with_suffix(".new")
    if lock.exists():
        shutil.copyfile(lock, fresh)
    try:
        subprocess.run([*COMPILE, *options, "-o", str(fresh)], cwd=ROOT, env=env, check=True)
        if "://" in fresh.read_text("utf-8"):
            raise SetupFailed(f"{lock.name} would hold an address, so it stays as it was")
        fresh.replace(lock)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"uv could not resolve {lock.name}") from error
    finally:
        if fresh.exists():
            fresh.unlink()
    say(f"wrote {lock.name}")
