"""Finding a Python that is new enough."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Iterable, Iterator, NamedTuple

from devtools.processes import answer
from devtools.venvs import SetupFailed

OLDEST, NEWEST = (3, 11), (3, 14)
DOWNLOAD = "AGENTCORE_DEV_DOWNLOAD_PYTHON"
PROBE = (
    "import sys, venv; "
    "print(*sys.version_info[:2], sys.implementation.name, "
    "getattr(sys, '_base_executable', None) or sys.executable)"
)


class Interpreter(NamedTuple):
    """One that can make environments."""

    version: tuple[int, int]
    path: str


def probe(command: str) -> Interpreter | None:
    words = (answer([command, "-c", PROBE]) or "").split(" ", 3)
    if len(words) != 4 or words[2] != "cpython":
        return None
    return Interpreter((int(words[0]), int(words[1])), words[3])


def candidates() -> Iterator[str]:
    yield getattr(sys, "_base_executable", None) or sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        yield f"python3.{minor}"
    yield from ("python3", "python")


def choose(commands: Iterable[str]) -> str | None:
    """The first of the versions that the lock was tried on; else the first newer one."""
    newer = None
    for command in commands:
        found = probe(command) if shutil.which(command) else None
        if found and OLDEST <= found.version <= NEWEST:
            return found.path
        if found and found.version > NEWEST:
            newer = newer or found.path
    return newer


def find_python() -> str:
    chosen = choose(candidates()) or python_of_uv()
    if chosen is None:
        raise SetupFailed(
            f"AgentCore needs Python 3.{OLDEST[1]} or newer; this is {sys.version.split()[0]} "
            f"and PATH has no other. Install one, or install uv and set {DOWNLOAD}=1."
        )
    return chosen


def python_of_uv() -> str | None:
    uv = shutil.which("uv")
    if uv is None:
        return None
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    if os.environ.get(DOWNLOAD) == "1":
        env["UV_PYTHON_DOWNLOADS"] = "automatic"
        answer([uv, "python", "install", f"3.{NEWEST[1]}"], env)
    return answer([uv, "python", "find", "--system", f">=3.{OLDEST[1]},<=3.{NEWEST[1]}"], env)
