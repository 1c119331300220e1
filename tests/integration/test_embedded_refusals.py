"""Homes that cannot serve: one line that names the path and what would be right."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcore.kit.embedded import open_embedded
from agentcore.kit.embedded.layout import Home
from agentcore.kit.errors import StartupError
from tests.fakes.deployment import copy_data
from tests.unit.kit.embedded.homes import client, fresh_home, processes_of, wait_until

ROOT = os.geteuid() == 0
ROOT_ONLY = pytest.mark.skipif(not ROOT, reason="only root can mount and give away")
LIMITED = 'export PYTHONDONTWRITEBYTECODE=1; ulimit -f 1024; exec "$0" "$@"'


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as path:
        yield path


async def refusal(home: Path) -> StartupError:
    with pytest.raises(StartupError) as caught:
        async with open_embedded(home):
            pytest.fail(f"{home} should not have served")
    assert "\n" not in caught.value.detail
    assert caught.value.hint
    return caught.value


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        wait_until(lambda: not processes_of(folder), "a process was left behind")
        # A process that is ending has no command any more, and yet its files, for a moment.
        unmount = ["umount", str(folder)]
        wait_until(lambda: subprocess.run(unmount, check=False).returncode == 0, "it is in use")


@ROOT_ONLY
async def test_a_read_only_home(home: Path) -> None:
    with mounted(home, "-t", "tmpfs", "-o", "ro,mode=0700", "none"):
        error = await refusal(home)
    assert error.detail == f"cannot use {home}/locks: Read-only file system"
    assert "AGENTCORE_HOME" in error.hint


@pytest.mark.skipif(ROOT, reason="root writes everywhere")
async def test_a_home_without_permission(home: Path) -> None:
    home.mkdir(mode=0o500)
    error = await refusal(home)
    assert error.detail == f"cannot use {home}/locks: Permission denied"


@ROOT_ONLY
@pytest.mark.parametrize("size", ["4k", "8m", "36m"])
async def test_a_full_disk(home: Path, size: str) -> None:
    """Without room for anything, for the new database, and for its first start."""
    with mounted(home, "-t", "tmpfs", "-o", f"size={size},mode=0700", "none"):
        error = await refusal(home)
        wait_until(lambda: not processes_of(home), "a process was left behind")
    assert str(home) in error.detail
    assert "No space left on device" in error.detail


def test_a_limited_file_size(home: Path) -> None:
    with client(home, prefix=("/bin/sh", "-c", LIMITED)) as limited:
        answer = limited.answer()
    assert "File too large" in str(answer["failed"])
    assert str(home) in str(answer["failed"])


async def test_a_file_in_the_homes_place(home: Path) -> None:
    home.write_text("")
    assert (await refusal(home)).detail == f"{home} is not a folder"


@ROOT_ONLY
async def test_somebody_elses_home(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)
    assert (await refusal(home)).detail == f"{home} belongs to nobody, this is root"


@ROOT_ONLY
def test_a_home_that_an_ordinary_user_does_not_own(home: Path) -> None:
    home.parent.chmod(0o755)
    home.mkdir(mode=0o755)
    with client(home, user=65534) as stranger:
        assert stranger.answer()["failed"] == f"{home} belongs to root, this is nobody"


async def test_data_of_another_major_version(home: Path) -> None:
    data = home / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    error = await refusal(home)
    assert error.detail == f"{data} was made by PostgreSQL 16, not 18"
    assert "move that folder away" in error.hint


async def test_a_damaged_database_is_refused_in_the_servers_words(home: Path) -> None:
    home.mkdir(mode=0o700)
    copy_data(home)
    (home / "postgres" / "global" / "pg_control").unlink()
    error = await refusal(home)
    assert f"postgres ended while starting in {home}" in error.detail
    assert str(home / "logs" / "postgres.log") in error.hint


async def test_a_cache_that_cannot_start_leaves_the_database_working(home: Path) -> None:
    home.mkdir(mode=0o700)
    copy_data(home)
    (home / "run").mkdir(mode=0o700)
    (home / "run" / "valkey.sock").mkdir()
    async with open_embedded(home) as servers:
        assert servers.database_url
        assert servers.redis_url is None
        assert "valkey" in servers.degraded
        assert "\n" not in servers.degraded


@ROOT_ONLY
async def test_a_socket_folder_that_somebody_else_made_first(home: Path) -> None:
    """Whoever owns it could answer in the server's place."""
    long = home / ("x" * 100)
    folder = Path("/tmp") / f"agentcore-{os.geteuid()}-{Home(long).digest}"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    try:
        assert (await refusal(long)).detail == f"{folder} belongs to nobody"
    finally:
        folder.rmdir()
