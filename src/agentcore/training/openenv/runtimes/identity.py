"""Which process a pid meant: numbers are given again, a number and a time of birth are not.

Only the standard library, and little of it: every keeper loads this.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_STATE, _USER_TICKS, _SYSTEM_TICKS, _BORN, _PAGES = 0, 11, 12, 19, 21


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process has used: seconds of processor time since its birth, and bytes now."""

    seconds: float
    memory: int


def born(pid: int) -> str:
    """When the process began, in the system's own words; empty when none runs (zombies do not)."""
    if pid <= 0:
        return ""
    if _has_proc():
        fields = _stat(pid)
        return fields[_BORN] if fields and fields[_STATE] not in {"Z", "X"} else ""
    state, _, began = _ps(pid, "stat=,lstart=").partition(" ")
    return "" if state.startswith("Z") else began.strip()


def is_running(pid: int, since: str) -> bool:
    """Whether that very process still runs."""
    return bool(since) and born(pid) == since


def send(pid: int, since: str, number: signal.Signals, *, group: bool = False) -> bool:
    """Signal that very process (``group``: and those it started); False when it is gone."""
    if not is_running(pid, since):
        return False
    with suppress(ProcessLookupError):
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
        return True
    return False


def reading(pid: int) -> Reading | None:
    """None when no such process runs."""
    if _has_proc():
        fields = _stat(pid)
        if not fields:
            return None
        ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        return Reading(
            seconds=ticks / os.sysconf("SC_CLK_TCK"),
            memory=int(fields[_PAGES]) * os.sysconf("SC_PAGE_SIZE"),
        )
    words = _ps(pid, "cputime=,rss=").split()
    return Reading(processor_seconds(words[0]), int(words[1]) * 1024) if len(words) == 2 else None


def _has_proc() -> bool:
    return (PROC / "self" / "stat").exists()


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name, which is in parentheses and may hold anything."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _ps(pid: int, columns: str) -> str:
    command = ["/bin/ps", "-ww", "-o", columns, "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def processor_seconds(clock: str) -> float:
    """``[[days-]hours:]minutes:seconds`` as ps writes processor time."""
    days, _, rest = clock.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86400 * int(days or 0)
