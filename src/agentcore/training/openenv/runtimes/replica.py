"""One server process of a deployment: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentcore.training.openenv.runtimes import identity
from agentcore.training.openenv.runtimes.forwarder import HOST
from agentcore.training.openenv.runtimes.records import ReplicaState, Wanted

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
HEALTH_SECONDS = 2.0
POLL_SECONDS = 0.05
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0
# A process that served for so long had recovered: its next end starts the backoff anew.
RECOVERED_AFTER = 60.0
STOP_SECONDS = 10.0
LARGEST_LOG = 10 * 1024 * 1024
# Of one that grew too large under a process that runs.
KEPT_LOG = 1024 * 1024
LONGEST_WORDS = 300
PR_SET_PDEATHSIG = 1


class Replica:
    """``changed`` is called whenever ``state`` is another."""

    def __init__(self, slot: int, wanted: Wanted, log: Path, changed: Callable[[], None]) -> None:
        self.slot = slot
        self.wanted = wanted
        self.port = 0
        self.connections = 0
        self.ready = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._log = log
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._born = ""
        self._exits = 0
        self._detail = ""
        # Where in the log the process's own lines begin.
        self._offset = 0

    @property
    def failing(self) -> bool:
        return bool(self._exits) and not self.ready

    def took(self) -> None:
        self.connections += 1
        self.idle.clear()

    def lost(self) -> None:
        self.connections -= 1
        if not self.connections:
            self.idle.set()

    def state(self, role: str) -> ReplicaState:
        return ReplicaState(
            slot=self.slot,
            pid=self._process.pid if self._process is not None else 0,
            born=self._born,
            role=role,
            ready=self.ready,
            exits=self._exits,
            detail=self._detail,
        )

    def tidy(self) -> None:
        """Put aside the end of a log that has grown large; its process goes on writing there."""
        with suppress(OSError):
            if self._log.stat().st_size > LARGEST_LOG:
                _put_aside(self._log)
                self._offset = 0

    async def keep(self) -> None:
        """Run until cancelled; then the process is asked to stop and, in the end, killed."""
        loop = asyncio.get_running_loop()
        backoff = FIRST_BACKOFF
        while True:
            began = loop.time()
            served = await self._once()
            if served and loop.time() - began > RECOVERED_AFTER:
                backoff = FIRST_BACKOFF
            self._exits = 1 if served else self._exits + 1
            self._changed()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def _once(self) -> bool:
        """One life of the process; whether it ever served."""
        self.port = free_port()
        self._offset = _make_room(self._log)
        try:
            self._process = await self._start()
        except OSError as error:
            self._detail = f"{self.wanted.command[0]} cannot be run: {error.strerror or error}"
            return False
        self._born = identity.born(self._process.pid)
        self._changed()
        try:
            served = await self._serves(self._process)
            code = await self._process.wait()
        finally:
            self.ready = False
            await _stop(self._process)
            self._process, self._born = None, ""
        self._detail = f"ended {_how(code)}: {last_words(self._log, self._offset)}"
        return served

    async def _start(self) -> asyncio.subprocess.Process:
        port = str(self.port)
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(word.replace("{port}", port) for word in self.wanted.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.wanted.environment),
                cwd=self.wanted.folder,
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )

    async def _serves(self, process: asyncio.subprocess.Process) -> bool:
        """Wait until it answers, or ends without ever having answered (False)."""
        while process.returncode is None:
            if await is_healthy(self.port):
                self.ready = True
                self._exits, self._detail = 0, ""
                self._changed()
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False


def end_with_parent() -> Callable[[], None] | None:
    """For a child to run before its program: the kernel is to stop it when this process ends.

    However this process ends, also by SIGKILL. Only Linux can do that. What runs between fork and
    exec takes no lock, and a keeper's other threads, where it has any, only wait for children.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return bind


async def is_healthy(port: int) -> bool:
    """Whether an OpenEnv server on this port says so."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(HEALTH)
                status = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]


def last_words(log: Path, offset: int) -> str:
    """What a process said last: the refusal of a command line before its hint, else a line."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, log.stat().st_size - 64 * 1024))
            said = file.read().decode(errors="replace")
    except OSError as error:
        # Whoever tidies up deletes logs, also those that are being written.
        return f"its log cannot be read: {error.strerror}"
    lines = [line for line in said.splitlines() if line.strip()]
    refusals = [line for line in lines if line.startswith("agentcore: ")]
    words = (refusals or lines or ["it said nothing"])[-1].strip()
    return words.removeprefix("agentcore: ")[:LONGEST_WORDS]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL, to it and what it started."""
    if process.returncode is not None:
        return
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await process.wait()
                return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _make_room(log: Path) -> int:
    """Where this life's lines begin; a full log is put aside, one of them is kept."""
    with suppress(FileNotFoundError):
        size = log.stat().st_size
        if size <= LARGEST_LOG:
            return size
        log.replace(_old(log))
    return 0


def _put_aside(log: Path) -> None:
    with log.open("rb") as file:
        file.seek(-KEPT_LOG, os.SEEK_END)
        _old(log).write_bytes(file.read())
    os.truncate(log, 0)


def _old(log: Path) -> Path:
    return log.with_name(f"{log.name}.old")


def _how(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
