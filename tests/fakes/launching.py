"""Processes of ``agentcore``, started by a process that has imported it already."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Launched:
    """The part of ``subprocess.Popen`` that tests of processes need."""

    def __init__(self, arguments: list[str], status: socket.socket) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._status = status
        self._lines = status.makefile()
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._status.close()
        return self.returncode


def launch(
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    folder: Path | None,
    output: IO[Any],
    errors: IO[Any],
) -> Launched:
    """Start ``agentcore ARGUMENTS``; whoever calls waits for its end."""
    ours, theirs = socket.socketpair()
    asked = {
        "arguments": arguments,
        "environment": dict(environment),
        "folder": None if folder is None else str(folder),
    }
    with theirs:
        descriptors = [output.fileno(), errors.fileno(), theirs.fileno()]
        socket.send_fds(_zygote(), [json.dumps(asked).encode()], descriptors)
    return Launched(["agentcore", *arguments], ours)


def finished(
    arguments: list[str], *, environment: Mapping[str, str], folder: Path | None, seconds: float
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` does it, with captured output."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = launch(
            arguments, environment=environment, folder=folder, output=output, errors=errors
        )
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(process.args, code, output.read(), errors.read())


@cache
def _zygote() -> socket.socket:
    """One for this process, from its first use to its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.zygote", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
