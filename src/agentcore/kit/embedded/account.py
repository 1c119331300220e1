"""Whom PostgreSQL runs as: it refuses root, and initdb refuses a uid without a name.

A user namespace solves both without creating users or opening folders: inside it the same
kernel uid has another name. Where the kernel refuses one (chroot, container seccomp), root can
still become some unprivileged account.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentcore.kit.errors import StartupError

_UNPRIVILEGED = ("agentcore", "postgres", "nobody")
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Account:
    """``uid`` and ``gid`` are -1 when the process keeps its own."""

    prefix: tuple[str, ...] = ()
    uid: int = -1
    gid: int = -1

    @property
    def owner(self) -> int:
        """The owner of the files that such a process writes, seen from here."""
        return os.geteuid() if self.uid < 0 else self.uid

    def run(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Both streams in ``stdout``. OSError, TimeoutExpired as ``subprocess.run``."""
        switch = self.uid >= 0
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            timeout=seconds,
            check=False,
            user=self.uid if switch else None,
            group=self.gid if switch else None,
            extra_groups=() if switch else None,
        )

    def can(self, *command: str) -> bool:
        try:
            return self.run(*command, seconds=_PROBE_SECONDS).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def can_enter(self, folder: Path) -> bool:
        return self.can("/bin/sh", "-c", 'cd "$0"', str(folder))


def choose_account(postgres: Path, data: Path) -> Account:
    """The first account that may run ``postgres``; the owner of existing ``data`` is kept."""
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Account()
    for account in _candidates(postgres, data):
        if account.can(str(postgres), "--version"):
            return account
    raise StartupError(
        f"PostgreSQL cannot run as {_who()} here: user namespaces are refused"
        f" and no other account may run {postgres}",
        hint="start AgentCore as an ordinary user, or set AGENTCORE_DATABASE_URL",
    )


def _candidates(postgres: Path, data: Path) -> Iterator[Account]:
    owner = data.stat().st_uid if data.exists() else os.geteuid()
    if owner != os.geteuid():
        yield Account(uid=owner, gid=data.stat().st_gid)
        return
    if unshare := shutil.which("unshare", path=os.defpath + ":/usr/sbin:/sbin"):
        yield Account(prefix=(unshare, "-U"))
    if os.geteuid() == 0:
        yield from _ordinary_accounts(postgres)


def _ordinary_accounts(postgres: Path) -> Iterator[Account]:
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


def _who() -> str:
    return "root" if os.geteuid() == 0 else f"uid {os.geteuid()}, which has no name,"
