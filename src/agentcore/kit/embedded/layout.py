"""The folders of one home, and what must be true of them before anything starts."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentcore.kit.errors import StartupError

# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing NUL; the longest name that
# a server puts into the folder is PostgreSQL's ".s.PGSQL.5432".
LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")
_PLAIN = re.compile(r"[\w./@+-]+", re.ASCII)
_OTHER_HOME = "set AGENTCORE_HOME to a folder of your own that can be written"


@dataclass(frozen=True, slots=True)
class Home:
    """An absolute, real path; made by ``open_home``."""

    path: Path

    @property
    def clients(self) -> Path:
        return self.path / "locks" / "clients"

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder; a link where root had to put it elsewhere."""
        return Path(os.path.realpath(self.path / "postgres"))

    @property
    def outside(self) -> Path:
        """For what another account must reach when it cannot reach the home."""
        return Path("/var/lib/agentcore") / self.digest

    def lock(self, name: str) -> Path:
        return self.path / "locks" / name

    def log(self, server: str) -> Path:
        return self.path / "logs" / f"{server}.log"

    def socket_folder(self, owner: int) -> Path:
        """The same for every process of this home; in /tmp when the home's path is too long."""
        inside = self.path / "run"
        short = len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER
        if short and owner == os.geteuid() and _PLAIN.fullmatch(str(inside)):
            return inside
        return Path("/tmp") / f"agentcore-{owner}-{self.digest}"  # noqa: S108 - checked for owner

    @property
    def digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    def make_private(self, folder: Path, owner: int) -> None:
        """Create ``folder`` for ``owner`` alone; refuse one that anybody else made."""
        with startup_errors(f"cannot use {folder}"):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if found.st_uid == os.geteuid() != owner:
                os.chown(folder, owner, -1)
            elif found.st_uid != owner or not stat.S_ISDIR(found.st_mode):
                raise StartupError(
                    f"{folder} belongs to {user_name(found.st_uid)}", hint=_OTHER_HOME
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise StartupError(f"{folder} is open to other users", hint=f"chmod 700 {folder}")


def open_home(path: Path) -> Home:
    """Create what is missing. StartupError naming the path when it cannot serve as a home."""
    home = Home(Path(os.path.realpath(path)))
    with startup_errors(f"cannot use {home.path} as home"):
        if home.path.exists() and not home.path.is_dir():
            raise StartupError(f"{home.path} is not a folder", hint=_OTHER_HOME)
        home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = home.path.stat().st_uid
        if owner != os.geteuid():
            raise StartupError(
                f"{home.path} belongs to {user_name(owner)}, this is {user_name(os.geteuid())}",
                hint=_OTHER_HOME,
            )
        for name in ("locks", "logs"):
            home.make_private(home.path / name, owner)
    return home


@contextmanager
def startup_errors(what: str, *, hint: str = _OTHER_HOME) -> Iterator[None]:
    """Turn the system's refusal into one line that names ``what``."""
    try:
        yield
    except OSError as error:
        raise StartupError(f"{what}: {error.strerror or error}", hint=hint) from error


def is_private(folder: Path, owner: int) -> bool:
    """Nobody else can have put a server there; a folder in /tmp may be anybody's."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == owner
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
