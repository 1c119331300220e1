"""One server of a home, kept running by whoever needs it.

``ensure`` is the only way in: start, join, recover and wait are the same loop under the server's
start lock. Liveness is an answer on the socket, or a held ``alive`` lock while it is not
answering yet; pid files are only ever hints, checked against the process they name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import structlog

from agentcore.kit.embedded.layout import Home, startup_errors
from agentcore.kit.embedded.locks import Patience, locked, try_lock
from agentcore.kit.embedded.processes import open_pidfd
from agentcore.kit.errors import StartupError

Probe = Literal["ready", "busy", "silent"]
State = Literal["ready", "busy", "stopped"]
StopSteps = tuple[tuple[signal.Signals, float], ...]

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_LOG_LIMIT_BYTES = 4 * 1024 * 1024
_WATCHDOG_START_SECONDS = 30
# A server that ends without a word was killed, most likely; perhaps not again.
_WORDLESS_ATTEMPTS = 4
_NOTE_READS = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    command: tuple[str, ...]
    uid: int = -1
    gid: int = -1


@dataclass(frozen=True, slots=True)
class Reason:
    """``passes``: another attempt will succeed. ``known``: the server said it itself."""

    text: str
    passes: bool = False
    known: bool = True


_BUSY = Reason("it is still starting or recovering")


class Server(Protocol):
    """What differs between the servers; every call may block."""

    name: ClassVar[str]
    stop_steps: ClassVar[StopSteps]
    """Each signal, and the seconds it is given before the next, harder one."""

    def prepare(self) -> Launch:
        """Make the folders, clear what a killed server left. StartupError when that cannot be."""
        ...

    def probe(self) -> Probe:
        """Ask the socket: "busy" answered "not yet", "silent" did not answer."""
        ...

    def noted_pid(self) -> int | None:
        """What the server's own pid file says; to be checked with ``is_process``."""
        ...

    def is_process(self, pid: int) -> bool:
        """Whether this living process is this home's server."""
        ...

    def reason(self, said: str) -> Reason:
        """Why a server that wrote this ended, or what it is doing."""
        ...


class Unit:
    def __init__(self, home: Home, server: Server) -> None:
        self._home = home
        self._server = server
        self._log = home.log(server.name)
        self._alive = home.lock(f"{server.name}.alive")
        self._start = home.lock(f"{server.name}.start")

    @property
    def name(self) -> str:
        return self._server.name

    def ensure(self, patience: Patience) -> None:
        """Return when the server answers and is watched. Call with the clients lock held."""
        with (
            startup_errors(f"cannot start {self.name} in {self._home.path}"),
            locked(self._start, "exclusive", patience),
        ):
            self._ensure(patience)

    def watched(self) -> bool:
        """Cheap: no server is asked. True too while somebody else starts it."""
        if (start := try_lock(self._start, "exclusive")) is None:
            return True
        try:
            if (alive := try_lock(self._alive, "shared")) is None:
                return True
            os.close(alive)
            return False
        finally:
            os.close(start)

    def state(self) -> State:
        probe = self._server.probe()
        if probe == "ready":
            return "ready"
        return "busy" if self.watched() or probe == "busy" else "stopped"

    def pid(self) -> int | None:
        """The running server's process, if a note still names it."""
        for noted in (number_in(self._alive), self._server.noted_pid()):
            if noted is not None and self._server.is_process(noted):
                return noted
        return None

    def watch_orphan(self, patience: Patience) -> None:
        """Give a server whose watchdog was killed a new one, which stops it when nobody is left."""
        with locked(self._start, "exclusive", patience):
            if (alive := try_lock(self._alive, "exclusive")) is not None:
                try:
                    self._adopt(alive)
                finally:
                    os.close(alive)

    def _ensure(self, patience: Patience) -> None:
        attempts = written = 0
        reason = Reason("it does not answer")
        while True:
            # In this order: while the lock is held here, nobody can start one.
            alive = try_lock(self._alive, "exclusive")
            probe = self._server.probe()
            if alive is None:
                if probe == "ready":
                    return
                reason = _BUSY if probe == "busy" else reason
            else:
                try:
                    if self._adopt(alive):
                        continue
                    if probe == "ready":
                        # Another container's, perhaps: it must not be started twice.
                        log.warning("embedded server has no watchdog", server=self.name)
                        return
                    if probe == "silent":
                        if attempts:
                            reason = self._judge(attempts, written)
                        attempts += 1
                        written = self._launch(alive)
                        if attempts == 1:
                            patience.look_closely()
                finally:
                    os.close(alive)
            if not patience.pause():
                raise self._overdue(patience, reason)

    def _launch(self, alive: int) -> int:
        """Start it; what it says stands in the log from the returned offset on."""
        launch = self._server.prepare()
        written = self._rotate_log()
        log.info("embedded server starting", server=self.name, home=str(self._home.path))
        self._watchdog(alive, "run", str(launch.uid), str(launch.gid), *launch.command)
        return written

    def _adopt(self, alive: int) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        pidfd = open_pidfd(pid)
        try:
            if not self._server.is_process(pid):
                return False
            log.warning("embedded server had lost its watchdog", server=self.name, pid=pid)
            self._watchdog(alive, "adopt", str(pid), str(pidfd), inherited=pidfd)
        finally:
            if pidfd >= 0:
                os.close(pidfd)
        return True

    def _watchdog(self, alive: int, *arguments: str, inherited: int = -1) -> None:
        steps = ",".join(f"{int(number)}:{after:g}" for number, after in self._server.stop_steps)
        interpreter = [sys.executable, "-I", "-S", str(_WATCHDOG)]
        with self._log.open("ab") as output:
            try:
                subprocess.run(
                    [*interpreter, str(self._home.clients), str(alive), steps, *arguments],
                    pass_fds=[fd for fd in (alive, inherited) if fd >= 0],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=True,
                    timeout=_WATCHDOG_START_SECONDS,
                )
            except subprocess.SubprocessError as error:
                raise StartupError(
                    f"cannot start the watchdog of {self.name}: {error}", hint=f"see {self._log}"
                ) from error

    def _judge(self, attempts: int, written: int) -> Reason:
        """Why the last attempt ended. Raises when that is final."""
        reason = self._server.reason(self._said(written))
        if not reason.passes and (reason.known or attempts >= _WORDLESS_ATTEMPTS):
            raise StartupError(
                f"{self.name} ended while starting in {self._home.path}: {reason.text}",
                hint=f"see {self._log}",
            )
        return reason

    def _overdue(self, patience: Patience, reason: Reason) -> StartupError:
        return StartupError(
            f"{self.name} in {self._home.path} was not ready within {patience.seconds:g} s:"
            f" {reason.text}",
            hint=f"see {self._log}",
        )

    def _said(self, written: int) -> str:
        with self._log.open("rb") as output:
            output.seek(written)
            return output.read(_LOG_LIMIT_BYTES).decode(errors="replace")

    def _rotate_log(self) -> int:
        """The size that the log has now, after a big one was put aside."""
        if not self._log.exists():
            return 0
        if self._log.stat().st_size > _LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
            return 0
        return self._log.stat().st_size


def number_in(path: Path) -> int | None:
    try:
        for _ in range(_NOTE_READS):
            # What is behind the first line is left of a note before.
            line, end, _ = path.read_text().partition("\n")
            if end:
                return int(line)
            # Read while it is written, it may end too soon.
    except (OSError, ValueError):
        pass
    return None
