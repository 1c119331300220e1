"""Processes under measurement: started on one core, watched through /proc, stopped for certain."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

START_SECONDS = 60.0
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
# The target has a core of its own where there are two; load and upstream share the other one.
TARGET_CORE = CORES[-1]
LOAD_CORE = CORES[0]


def machine() -> dict[str, object]:
    return {
        "cores": len(CORES),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


@contextmanager
def running(
    command: Sequence[str],
    port: int | Path,
    *,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """``command`` on ``core``, or on any, once something listens on ``port``.

    A program that chooses its port itself writes it to a file.
    """
    with (
        tempfile.TemporaryFile() as log,  # a pipe that nobody reads would stop a talkative target
        subprocess.Popen(
            list(command), env={**os.environ, **(env or {})}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            if core is not None:
                pin(core, process.pid)
            _wait(process, port, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def chosen_port(port: int | Path) -> int:
    """0 as long as the file is empty or not there: nobody listens on that."""
    if isinstance(port, int):
        return port
    return int(port.read_text() or 0) if port.exists() else 0


def cpu_seconds(pid: int) -> float:
    """Time on a core of all threads of ``pid``, in nanosecond resolution where Linux tells it."""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(schedstat.read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    return _status_mib(pid, "VmRSS:")


def most_resident_mib(pid: int) -> float:
    """The most that it ever had."""
    return _status_mib(pid, "VmHWM:")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def pin(core: int, pid: int = 0) -> None:
    """Keep ``pid`` (this process by default) and all that it starts on ``core``."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


def unpin_servers_in(folder: Path) -> None:
    """Let those that work in ``folder`` run on any core, whoever started them."""
    for working in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # another user's, or ended meanwhile
            if working.readlink().is_relative_to(folder.resolve()):
                os.sched_setaffinity(int(working.parent.name), CORES)


def _wait(process: subprocess.Popen[bytes], port: int | Path, log: IO[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"{process.args!r} ended: {log.read().decode()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", chosen_port(port))) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not listen within {START_SECONDS:.0f} s")
