"""The watchdog of one embedded server, run as a script by an interpreter of its own.

It starts the server (or adopts one whose watchdog was killed), waits until no client holds the
clients file, stops the server and ends. It ends at once when the server ends. For all of that time
it keeps the lock on the server's ``alive`` file, which it inherits from the client that starts it:
a held lock means that the server's process lives and is watched, whatever pid files say. Being the
parent, it knows the server before the server has written anything, so that a client may be killed
at any moment without leaving one behind.

Only the standard library, and little of it: it is on the path of every start.
Arguments: CLIENTS_FILE ALIVE_FD SIGNAL:SECONDS,... run UID GID COMMAND... | adopt PID PIDFD
"""

from __future__ import annotations

import _thread
import fcntl
import os
import select
import signal
import sys
import time
from contextlib import suppress

ADOPTED_POLL_SECONDS = 0.1
# A service manager sends these to the whole group on shutdown, while clients still drain: only
# the clients' end may stop the server.
GROUP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# Neither the client's secrets nor its PGPORT are the server's business.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class Child:
    """A server that this process starts."""

    def __init__(self, uid: int, gid: int, command: list[str]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _become(uid, gid, command)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> None:
        os.waitpid(self.pid, 0)


class Adopted:
    """A server that some killed watchdog started. The pidfd (-1: none) rules out a reused pid."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    def send(self, number: int) -> None:
        if sys.platform == "linux" and self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, number)
        else:
            os.kill(self.pid, number)

    def wait(self) -> None:
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [])
            return
        with suppress(ProcessLookupError):
            while True:
                os.kill(self.pid, 0)
                time.sleep(ADOPTED_POLL_SECONDS)


def _become(uid: int, gid: int, command: list[str]) -> None:
    """The child's side of the fork; a stop signal that came since then takes effect here."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execve(command[0], command, ENVIRONMENT)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"FATAL:  cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _stop_after_clients(server: Child | Adopted, clients: int, steps: str) -> None:
    """Wait for the clients' end, then send each signal in turn, harder ones last."""
    with suppress(OSError):
        fcntl.flock(clients, fcntl.LOCK_EX)
    with suppress(ProcessLookupError):
        for step in steps.split(","):
            number, seconds = step.split(":")
            server.send(int(number))
            time.sleep(float(seconds))


def note(alive: int, pid: int) -> None:
    """Write down whom the next watchdog may adopt; there is a whole number at every moment."""
    line = f"{pid}\n".encode()
    os.pwrite(alive, line, 0)
    os.ftruncate(alive, len(line))


def watch(arguments: list[str]) -> None:
    clients_file, alive, steps, mode, *rest = arguments
    os.set_inheritable(int(alive), False)
    clients = os.open(clients_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # From here on nothing but the server's end may end this process: not even a full disk.
    server: Child | Adopted
    if mode == "run":
        server = Child(int(rest[0]), int(rest[1]), rest[2:])
    else:
        server = Adopted(int(rest[0]), int(rest[1]))
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError):
        note(int(alive), server.pid)
    # Two blocking waits, two threads: a signal handler could miss what happens between them.
    _thread.start_new_thread(_stop_after_clients, (server, clients, steps))
    server.wait()
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Leave the client's process tree and session, then watch."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    # Held back, not ignored: a server that has just been forked must not lose its stop signal.
    signal.pthread_sigmask(signal.SIG_SETMASK, GROUP_SIGNALS)
    watch(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
