"""Renewing the lock files."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Sequence

from devtools.installers import find_pip, installer_environment
from devtools.interpreters import find_python
from devtools.venvs import MAIN, PEERS, ROOT, SetupFailed, Venv, say

# uv is a requirement of dev.py alone, so it is given here and not in pyproject.toml.
SOURCES = {
    MAIN: (["--all-extras", "pyproject.toml", "-"], "uv\n"),
    PEERS: (["requirements-peers.in"], ""),
}
ELSEWHERE = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


def write_lock(venv: Venv, args: Sequence[str]) -> None:
    """Resolves into a copy, so that a failure leaves the lock as it was."""
    fresh = venv.lock.with_suffix(".new")
    if venv.lock.exists():
        shutil.copyfile(venv.lock, fresh)
    try:
        resolve(venv, [*args, "--output-file", str(fresh)])
        if "://" in fresh.read_text("utf-8"):
            raise SetupFailed(f"{venv.lock.name} would hold an address, so it stays as it was")
        os.replace(fresh, venv.lock)
    finally:
        if fresh.exists():
            fresh.unlink()
    say(f"wrote {venv.lock.name}")


def resolve(venv: Venv, options: Sequence[str]) -> None:
    """From the default index alone: a lock must not depend on what else this machine sees."""
    sources, extra = SOURCES[venv]
    settings = installer_environment(find_pip(MAIN, find_python()))
    env = {name: value for name, value in settings.items() if name not in ELSEWHERE}
    command = [
        *(str(MAIN.bin / "uv"), "pip", "compile", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-header", "--quiet", *options, *sources),
    ]
    try:
        subprocess.run(command, cwd=ROOT, env=env, input=extra.encode(), check=True)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"uv could not resolve {venv.lock.name}") from error
