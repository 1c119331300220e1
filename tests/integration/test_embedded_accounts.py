"""Root and not root: with user namespaces, without them, and without a name."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from agentcore.kit.embedded import open_embedded
from agentcore.kit.embedded.binaries import postgres_folder
from agentcore.kit.embedded.layout import Home
from agentcore.kit.jsonvalue import JsonObject
from tests.unit.kit.embedded.homes import client, fresh_home, processes_of, server_pid, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
NOBODY, NAMELESS = 65534, 54321
# In a chroot the kernel refuses user namespaces, as a container's seccomp filter does.
CHROOT = 'mount --rbind / "$0" && cd "$0" && exec chroot "$0" "$@"'
# The wheel below a folder that only root may enter, as in an environment below /root.
HIDE = 'cp -a "$1" "$0" && mount --bind "$0" "$1" && chmod 700 "$1" && shift && exec "$@"'


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as path:
        yield path


@pytest.fixture
def chroot(tmp_path: Path) -> tuple[str, ...]:
    """The prefix of a command that shall run where user namespaces are refused."""
    prefix = ("unshare", "-m", "/bin/sh", "-c", CHROOT, str(tmp_path))
    probe = subprocess.run([*prefix, "unshare", "-U", "true"], check=False, capture_output=True)
    if b"unshare failed" not in probe.stderr:
        pytest.skip(f"cannot make such a place here: {probe.stderr.decode().strip()}")
    return prefix


async def ask(answer: JsonObject, statement: str) -> object:
    url = str(answer["database_url"]).replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def modes_above(home: Path) -> dict[Path, int]:
    return {folder: folder.stat().st_mode for folder in home.parents}


def test_root_works_in_a_private_folder_and_opens_no_other(home: Path) -> None:
    before = modes_above(home)
    with client(home) as root:
        assert "failed" not in root.answer()
        assert home.stat().st_mode & 0o777 == 0o700
        assert Path(f"/proc/{server_pid(home, 'postgres')}").stat().st_uid == 0
    assert modes_above(home) == before


@pytest.mark.parametrize("user", [NOBODY, NAMELESS], ids=["nobody", "nameless"])
async def test_other_users_run_their_own_servers(home: Path, user: int) -> None:
    os.chown(home.parent, user, user)
    for _ in range(2):
        with client(home, user=user) as other:
            answer = other.answer()
            assert "failed" not in answer, answer
            assert await ask(answer, "SELECT 1") == 1
            for name in ("postgres", "valkey"):
                assert Path(f"/proc/{server_pid(home, name)}").stat().st_uid == user
        wait_until(lambda: not processes_of(home), "a process was left behind")


@pytest.mark.parametrize("parent", [0o755, 0o700], ids=["open", "hidden"])
async def test_root_without_namespaces_runs_it_as_another_account(
    home: Path, chroot: tuple[str, ...], parent: int
) -> None:
    home.parent.chmod(parent)
    before = modes_above(home)
    outside = Home(home).outside
    try:
        for expected in ("absent", "kept"):
            with client(home, prefix=chroot) as root:
                answer = root.answer()
                assert "failed" not in answer, answer
                assert Path(f"/proc/{server_pid(home, 'postgres')}").stat().st_uid != 0
                if expected == "absent":
                    await ask(answer, "CREATE TABLE kept (n int)")
                assert await ask(answer, "SELECT count(*) FROM kept") == 0
            wait_until(lambda: not processes_of(home), "a process was left behind")
        # Where namespaces work again, the data keeps its owner and its place.
        async with open_embedded(home) as servers:
            assert await ask({"database_url": servers.database_url}, "TABLE kept") is None
        wait_until(lambda: not processes_of(home), "a process was left behind")
    finally:
        shutil.rmtree(outside, ignore_errors=True)
    assert modes_above(home) == before
    assert home.stat().st_mode & 0o777 == (0o710 if parent == 0o755 else 0o700)


async def test_data_made_in_a_namespace_is_handed_over_where_there_is_none(
    home: Path, chroot: tuple[str, ...]
) -> None:
    home.parent.chmod(0o755)
    async with open_embedded(home) as servers:
        await ask({"database_url": servers.database_url}, "CREATE TABLE kept (n int)")
    wait_until(lambda: not processes_of(home), "a process was left behind")
    with client(home, prefix=chroot) as root:
        answer = root.answer()
        assert "failed" not in answer, answer
        assert await ask(answer, "TABLE kept") is None


def test_binaries_below_a_folder_of_roots_are_copied_for_the_account(
    home: Path, chroot: tuple[str, ...]
) -> None:
    hidden = home.parent / "wheel"
    wheel = postgres_folder().parents[1]
    hide = ("unshare", "-m", "/bin/sh", "-c", HIDE, str(hidden), str(wheel))
    outside = Home(home).outside
    try:
        with client(home, prefix=(*hide, *chroot)) as root:
            answer = root.answer()
            assert "failed" not in answer, answer
            assert str(outside) in pid_command(server_pid(home, "postgres"))
        wait_until(lambda: not processes_of(home), "a process was left behind")
    finally:
        shutil.rmtree(outside, ignore_errors=True)


def pid_command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
