"""PostgreSQL 18 of one home: made by initdb, reached over a unix socket in a private folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from agentcore.kit.embedded import pgwire, processes
from agentcore.kit.embedded.account import Account
from agentcore.kit.embedded.binaries import POSTGRES_MAJOR, postgres_folder
from agentcore.kit.embedded.elsewhere import choose, hand_over
from agentcore.kit.embedded.layout import Home, is_private
from agentcore.kit.embedded.unit import Launch, Probe, Reason, StopSteps
from agentcore.kit.errors import StartupError

USER = DATABASE = "agentcore"
_SOCKET = ".s.PGSQL.5432"
_INITDB_SECONDS = 300
_NEW_DATA = "postgres.new-"

# The built-in provider sorts by code point on every system; the C library's C.UTF-8 is missing
# on some. Nobody but the owner of the socket's folder can connect, so there is no password.
_INITDB = (
    *("--username", USER, "--encoding=UTF8", "--locale=C"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    *("--auth-local=trust", "--auth-host=reject"),
)
# fsync and synchronous_commit stay on: what was acknowledged survives a killed server and a lost
# machine. No replication means less to write; few workers, because the home is one machine's.
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "huge_pages": "off",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
    "log_checkpoints": "off",
}
# A killed postmaster's backends may outlive it for a moment; its successor must wait for them.
_NOT_YET = "the database system is starting up"
_PASSING = "pre-existing shared memory block"


@dataclass(frozen=True, slots=True)
class Postgres:
    home: Home
    name: ClassVar[str] = "postgres"
    # Fast, then immediate shutdown: the latter recovers from the log at the next start.
    stop_steps: ClassVar[StopSteps] = (
        (signal.SIGINT, 60),
        (signal.SIGQUIT, 10),
        (signal.SIGKILL, 10),
    )

    @property
    def url(self) -> str:
        folder = quote(str(self.socket_folder), safe="/")
        # With its port: drivers would else take one from the environment.
        return f"postgresql+asyncpg://{USER}@/{DATABASE}?host={folder}&port=5432"

    @property
    def socket_folder(self) -> Path:
        return self.home.socket_folder(_owner(self.home.data))

    def probe(self) -> Probe:
        folder = self.socket_folder
        if not is_private(folder, _owner(self.home.data)):
            return "silent"
        address = folder / _SOCKET
        answer = pgwire.ask(address, user=USER, database=DATABASE)
        if answer is None:
            return "silent"
        if answer.sqlstate == pgwire.CANNOT_CONNECT_NOW:
            return "busy"
        if answer.sqlstate == pgwire.INVALID_CATALOG:
            create = f"CREATE DATABASE {DATABASE}"
            pgwire.ask(address, user=USER, database="postgres", statement=create, timeout=60)
            return "busy"
        return "ready"

    def noted_pid(self) -> int | None:
        return _first_number(self.home.data / "postmaster.pid")

    def is_process(self, pid: int) -> bool:
        return processes.runs(pid, "-D", str(self.home.data))

    def prepare(self) -> Launch:
        account, binaries = choose(postgres_folder(), self.home)
        if account.switches:
            hand_over(self.home, account)
        if not (self.home.data / "PG_VERSION").exists():
            self._initialise(binaries / "initdb", account)
        self._check_version()
        sockets = self.home.socket_folder(account.owner)
        self.home.make_private(sockets, account.owner)
        for note in (self.home.data / "postmaster.pid", sockets / f"{_SOCKET}.lock"):
            _drop_if_foreign(note)
        settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
        command = [*account.prefix, str(binaries / "postgres"), "-D", str(self.home.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return Launch(command=tuple(command), uid=account.uid, gid=account.gid)

    def reason(self, said: str) -> Reason:
        if complaint := self._complaint(said):
            return Reason(complaint, passes=complaint.startswith(_PASSING))
        return Reason("it ended without a word", known=False)

    def _initialise(self, initdb: Path, account: Account) -> None:
        """Build beside the final place and rename, so that a kill leaves nothing half-made."""
        data = self.home.data
        for left in data.parent.glob(f"{_NEW_DATA}*"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=_NEW_DATA, dir=data.parent))
        try:
            if account.owner != os.geteuid():
                os.chown(new, account.uid, account.gid)
            done = account.run(str(initdb), "-D", str(new), *_INITDB, seconds=_INITDB_SECONDS)
            if done.returncode != 0:
                complaint = self._complaint(done.stdout) or f"initdb ended with {done.returncode}"
                raise StartupError(
                    f"cannot create a database in {self.home.path}: {complaint}",
                    hint="set AGENTCORE_HOME to a folder with room, or set AGENTCORE_DATABASE_URL",
                )
            new.rename(data)
        except subprocess.TimeoutExpired as error:
            raise StartupError(
                f"creating a database in {self.home.path} took over {_INITDB_SECONDS} s",
            ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _check_version(self) -> None:
        found = (self.home.data / "PG_VERSION").read_text().strip()
        if found != POSTGRES_MAJOR:
            raise StartupError(
                f"{self.home.data} was made by PostgreSQL {found}, not {POSTGRES_MAJOR}",
                hint="move that folder away, or dump it with its own version and restore",
            )

    def _complaint(self, text: str) -> str:
        for line in text.splitlines():
            for mark in ("FATAL: ", "PANIC: ", "error: "):
                found = line.partition(mark)[2].strip()
                if found and found != _NOT_YET:
                    return found
        with suppress(OSError):
            room = os.statvfs(self.home.path)
            if room.f_bavail == 0:
                return "No space left on device"
        return ""


def _first_number(path: Path) -> int | None:
    try:
        return int(path.read_text().partition("\n")[0])
    except (OSError, ValueError):
        return None


def _drop_if_foreign(note: Path) -> None:
    """Remove a pid file that names somebody else's process: PostgreSQL would take it for its own.

    Only called when no server of this home lives. A pid that is gone stays for PostgreSQL to
    find: it then also looks for what is left of that server.
    """
    pid = _first_number(note)
    if pid is None or processes.exists(pid):
        note.unlink(missing_ok=True)


def _owner(data: Path) -> int:
    try:
        return data.stat().st_uid
    except OSError:
        return os.geteuid()
