"""What the system says about a pid. A pid in a file proves nothing: it may be anyone's by now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROC = Path("/proc")


def runs(pid: int, *words: str) -> bool:
    """Whether ``pid`` is a living process (a zombie is not) whose command has all ``words``."""
    if pid <= 0:
        return False
    if (_PROC / "self" / "stat").exists():
        return runs_by_proc(pid, words)
    return runs_by_ps(pid, words)


def exists(pid: int) -> bool:
    """Whether any process, a zombie too, has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def runs_by_proc(pid: int, words: tuple[str, ...]) -> bool:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False
    state = stat.rpartition(")")[2].split()[0]
    found = command.split(b"\0")
    return state not in "ZX" and all(os.fsencode(word) in found for word in words)


def runs_by_ps(pid: int, words: tuple[str, ...]) -> bool:
    listing = subprocess.run(
        ["/bin/ps", "-ww", "-o", "stat=,args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, command = listing.stdout.strip().partition(" ")
    padded = f" {command.strip()} "
    return bool(state) and state[0] != "Z" and all(f" {word} " in padded for word in words)


def open_pidfd(pid: int) -> int:
    """A descriptor that stays with this very process, or -1 where the system has none."""
    if sys.platform != "linux":
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
