"""What the system says about a pid. A pid in a file proves nothing: it may be anyone's by now."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

_PROC = Path("/proc")
_LOOKS, _LOOK_SECONDS = 50, 0.002
# SO_PEERCRED gives pid, uid and gid; macOS has LOCAL_PEERPID on the level SOL_LOCAL.
_PEER = (socket.SOL_SOCKET, 17, "3i") if sys.platform == "linux" else (0, 2, "i")


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
    command = b""
    for _ in range(_LOOKS):
        try:
            stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
            command = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return False
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return False
        if command:
            break
        # A new program has no words for a moment.
        time.sleep(_LOOK_SECONDS)
    found = command.split(b"\0")
    return all(os.fsencode(word) in found for word in words)


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


def listener(address: Path) -> int | None:
    """The process that listens on this unix socket, as the kernel remembers it."""
    try:
        with closing(socket.socket(socket.AF_UNIX)) as wire:
            wire.settimeout(1)
            wire.connect(str(address))
            level, option, layout = _PEER
            peer = wire.getsockopt(level, option, struct.calcsize(layout))
            return int(struct.unpack(layout, peer)[0])
    except OSError:
        return None


def open_pidfd(pid: int) -> int:
    """A descriptor that stays with this very process, or -1 where the system has none."""
    if sys.platform != "linux":
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
