"""Files of a home that an unprivileged account must reach while root owns the home.

Used only where root may not make a user namespace. Folders above the home are never opened up:
what the account cannot reach there lives in a folder of this home's own under /var/lib.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from agentcore.kit.embedded.account import Account, accounts
from agentcore.kit.embedded.layout import Home
from agentcore.kit.errors import StartupError


def choose(binaries: Path, home: Home) -> tuple[Account, Path]:
    """An account that may run PostgreSQL for ``home``, and the binaries that it can reach."""
    found = list(accounts(binaries / "postgres", home.data))
    for account in found:
        if account == Account() or account.can(str(binaries / "postgres"), "--version"):
            return account, binaries
    for account in found:
        if account.switches:
            copied = reachable_copy(binaries, home)
            if account.can(str(copied / "postgres"), "--version"):
                return account, copied
    who = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}, which has no name,"
    raise StartupError(
        f"PostgreSQL cannot run as {who} here: user namespaces are refused"
        " and no other account can run it",
        hint="start AgentCore as an ordinary user, or set AGENTCORE_DATABASE_URL",
    )


def hand_over(home: Home, account: Account) -> None:
    """Give ``account`` a place for the data, or the data that root made before."""
    if home.data.exists():
        _give(account, home.data)
    elif not account.can_enter(home.path.parent):
        outside = _open_outside(home)
        (home.path / "postgres").unlink(missing_ok=True)
        (home.path / "postgres").symlink_to(outside / "postgres")
    if home.data.parent == home.path:
        # The group may pass through, nobody may list; every file inside is its owner's alone.
        os.chown(home.path, -1, account.gid)
        home.path.chmod(0o710)
    if not account.can_enter(home.data.parent):
        raise StartupError(
            f"uid {account.uid}, which must run PostgreSQL here, cannot reach {home.data.parent}",
            hint="set AGENTCORE_HOME to a folder that other accounts can pass through",
        )


def reachable_copy(binaries: Path, home: Home) -> Path:
    """Keep the wheel's layout: the programs find their libraries relative to themselves."""
    install = binaries.parent
    package = install.parent
    version = f"{install.name}-{int((binaries / 'postgres').stat().st_mtime)}"
    copy = _open_outside(home) / version
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="copying-", dir=copy.parent))
        ignored = shutil.ignore_patterns("include")
        shutil.copytree(install, draft / package.name / install.name, ignore=ignored)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        draft.chmod(0o755)
        draft.rename(copy)
    return copy / package.name / install.name / binaries.name


def _open_outside(home: Home) -> Path:
    for folder in (home.outside.parent, home.outside):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if folder.lstat().st_uid != os.geteuid():
            raise StartupError(f"{folder} belongs to another user", hint="remove that folder")
    return home.outside


def _give(account: Account, data: Path) -> None:
    """The folder itself comes last: until then an interrupted change starts anew."""
    if data.stat().st_uid != account.uid:
        for path in (*data.rglob("*"), data):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
