"""Commands of ``agentcore`` that start at once, because a waiting process has imported it all.

What runs is the real command in a process of its own, with its own environment, folder and output:
only the import is shared, by a fork. Started by ``tests.fakes.launching``; its one argument is the
descriptor of a socket. Each request is a JSON object and three descriptors: standard output,
standard error, and a socket that gets the process's id and later its exit status, a line each.
It ends when its owner is gone.
"""

from __future__ import annotations

import array
import faulthandler
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What `agentcore serve` has loaded when it listens; `env` and `simulate` need less.
PRELOADED = (
    "agentcore.app",
    "agentcore.bootstrap",
    "agentcore.cli.commands",
    "agentcore.cli.main",
    "agentcore.cli.serving",
    "agentcore.simulators.server",
    "asyncpg",
    "httptools",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
REQUEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Request:
    arguments: list[str]
    environment: dict[str, str]
    folder: str | None


def main(channel: socket.socket) -> Request | None:
    """Serve requests; returns in each forked process with what it is to become."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    told: dict[int, socket.socket] = {}
    waiting = selectors.DefaultSelector()
    waiting.register(channel, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj == woken:
                os.read(woken, 4096)
                reap(told)
                continue
            received = receive(channel)
            if received is None:
                return None
            asked, output, errors, status = received
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                waiting.close()
                for each in (woken, wake, status, channel.detach()):
                    os.close(each)
                for other in told.values():
                    other.close()
                os.dup2(output, 1)
                os.dup2(errors, 2)
                os.close(output)
                os.close(errors)
                return asked
            os.close(output)
            os.close(errors)
            told[pid] = socket.socket(fileno=status)
            told[pid].sendall(f"{pid}\n".encode())


def receive(channel: socket.socket) -> tuple[Request, int, int, int] | None:
    descriptors = array.array("i")
    message, ancillary, _, _ = channel.recvmsg(
        REQUEST_BYTES, socket.CMSG_SPACE(3 * descriptors.itemsize)
    )
    if not message:
        return None
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    output, errors, status = descriptors
    asked: dict[str, Any] = json.loads(message)
    return Request(**asked), output, errors, status


def reap(told: dict[int, socket.socket]) -> None:
    while told:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with told.pop(pid) as teller:
            try:
                teller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            except BrokenPipeError:
                # Nobody wants to know any more.
                continue


def become(asked: Request) -> None:
    os.environ.clear()
    os.environ.update(asked.environment)
    if asked.folder is not None:
        os.chdir(asked.folder)
    if asked.environment.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    sys.argv = ["agentcore", *asked.arguments]
    # As `python -m` does: what is in the folder can be imported.
    sys.path[0] = str(Path.cwd())
    runpy.run_module("agentcore", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    request = main(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        become(request)
