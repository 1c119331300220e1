"""The environments in this checkout, and how a second start sees that nothing is to be done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = sys.platform == "win32"
PACKAGES = "Lib/site-packages" if WINDOWS else "lib/*/site-packages"


BOOTSTRAP = ROOT / "devtools" / "bootstrap.lock"


class SetupFailed(Exception):
    """What to tell the person at the keyboard; the process ends with 1."""


def say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


class Venv(NamedTuple):
    """A lock file and the environment made from it."""

    path: Path
    lock: Path
    holds_project: bool

    @property
    def bin(self) -> Path:
        return self.path / ("Scripts" if WINDOWS else "bin")

    @property
    def python(self) -> Path:
        return self.bin / ("python.exe" if WINDOWS else "python")

    @property
    def unfinished(self) -> Path:
        """Present while packages are being changed: if dev.py is killed, it stays."""
        return self.path / ".unfinished"

    @property
    def stamp(self) -> Path:
        return self.path / ".stamp"


MAIN = Venv(ROOT / ".venv", ROOT / "requirements.lock", holds_project=True)
PEERS = Venv(ROOT / ".venv-peers", ROOT / "requirements-peers.lock", holds_project=False)
# Older releases of openenv: AgentCore promises to understand them too.
OLDER_PEERS = tuple(
    Venv(
        ROOT / f".venv-peers-{release}",
        ROOT / f"requirements-peers-{release}.lock",
        holds_project=False,
    )
    for release in ("0.6.0", "0.2.0")
)
# Other gateways, for the benchmark alone.
GATEWAYS = Venv(
    ROOT / ".venv-peers-gateway", ROOT / "requirements-peers-gateway.lock", holds_project=False
)
# The official A2A SDK's server, for the benchmark alone.
A2A = Venv(ROOT / ".venv-peers-a2a", ROOT / "requirements-peers-a2a.lock", holds_project=False)
# Node.js, where this machine has none that is new enough.
NODE = Venv(ROOT / ".venv-peers-node", ROOT / "requirements-peers-node.lock", holds_project=False)

# A real inference server. Not a part of `test`: it is large, and one test alone drives it.
INFERENCE = Venv(
    ROOT / ".venv-peers-inference",
    ROOT / "requirements-peers-inference.lock",
    holds_project=False,
)


def project_parts(pyproject: str) -> str:
    """The tables of pyproject.toml that an installed AgentCore depends on."""
    kept: list[str] = []
    relevant = False
    for line in pyproject.splitlines():
        if line.startswith("["):
            relevant = line.startswith(("[build-system]", "[project", "[tool.hatch"))
        if relevant:
            kept.append(line)
    return "\n".join(kept)


def wanted(venv: Venv) -> str:
    parts = [lock.read_text("utf-8") for lock in (venv.lock, BOOTSTRAP)]
    if venv.holds_project:
        parts.append(project_parts((ROOT / "pyproject.toml").read_text("utf-8")))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def installed(venv: Venv) -> list[str]:
    return sorted(found.name for found in venv.path.glob(f"{PACKAGES}/*.dist-info"))


def read_stamp(venv: Venv) -> dict[str, str | list[str]]:
    try:
        stamp: dict[str, str | list[str]] = json.loads(venv.stamp.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp


def write_stamp(venv: Venv) -> None:
    stamp = {
        "wanted": wanted(venv),
        "path": str(venv.path),
        "python": os.path.realpath(venv.python),
        "packages": installed(venv),
    }
    venv.stamp.write_text(json.dumps(stamp), "utf-8")


def is_ready(venv: Venv) -> bool:
    """Cheap on purpose: this is all that a second start pays."""
    stamp = read_stamp(venv)
    return (
        bool(stamp)
        and venv.python.exists()
        and stamp["wanted"] == wanted(venv)
        and stamp["path"] == str(venv.path)
        and stamp["python"] == os.path.realpath(venv.python)
        and set(stamp["packages"]) <= set(installed(venv))
    )


def was_moved(venv: Venv) -> bool:
    """Scripts in an environment name its old place in their first line."""
    return read_stamp(venv).get("path", str(venv.path)) != str(venv.path)


def take(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def only_one(venv: Venv) -> Iterator[int]:
    """The handle goes to the installers too, so that those of a killed dev.py are waited for."""
    handle = os.open(venv.path.with_name(venv.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not take(handle):
            say(f"another dev.py is setting up {venv.path.name}, waiting for it")
            while not take(handle):
                time.sleep(0.1)
        yield handle
    finally:
        os.close(handle)
