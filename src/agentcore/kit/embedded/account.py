"""Whom PostgreSQL runs as: it refuses root, and initdb refuses a uid without a name.

A user namespace solves both without creating users or opening folders: inside it the same
kernel uid has another name. Where the kernel refuses one (chroot, container seccomp), root can
still become some unprivileged account, which may need its files elsewhere (``elsewhere.py``).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNPRIVILEGED = ("agentcore", "postgres", "nobody")
_OVERFLOW_UID = 65534
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Account:
    """``uid`` and ``gid`` are -1 when the process keeps its own."""

    prefix: tuple[str, ...] = ()
    uid: int = -1
    gid: int = -1

    @property
    def switches(self) -> bool:
        return self.uid >= 0

    @property
    def owner(self) -> int:
        """The owner of the files that such a process writes, seen from here."""
        return self.uid if self.switches else os.geteuid()

    def run(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Both streams in ``stdout``. OSError and TimeoutExpired as ``subprocess.run``."""
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            timeout=seconds,
            check=False,
            user=self.uid if self.switches else None,
            group=self.gid if self.switches else None,
            extra_groups=() if self.switches else None,
        )

    def can(self, *command: str) -> bool:
        try:
            return self.run(*command, seconds=_PROBE_SECONDS).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def can_enter(self, folder: Path) -> bool:
        return self.can("/bin/sh", "-c", 'cd "$0"', str(folder))


def accounts(postgres: Path, data: Path) -> Iterator[Account]:
    """Those that may run the server here, best first; the owner of existing ``data`` is kept."""
    mine = os.geteuid()
    owner = data.stat().st_uid if data.exists() else mine
    if owner != mine:
        yield Account(uid=owner, gid=data.stat().st_gid)
        return
    if mine != 0 and _has_name(mine):
        yield Account()
        return
    unshare = shutil.which("unshare", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if unshare and _has_name(_OVERFLOW_UID):
        yield Account(prefix=(unshare, "-U"))
    if mine == 0:
        yield from _ordinary(postgres)


def _ordinary(postgres: Path) -> Iterator[Account]:
    installed_by = postgres.stat().st_uid
    if installed_by != 0 and _has_name(installed_by):
        yield Account(uid=installed_by, gid=pwd.getpwuid(installed_by).pw_gid)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
