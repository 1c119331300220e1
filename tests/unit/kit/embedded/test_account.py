from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agentcore.kit.embedded.account import Account, accounts

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.mark.skipif(os.geteuid() == 0, reason="for ordinary users")
def test_an_ordinary_user_runs_the_server_as_is(tmp_path: Path) -> None:
    assert list(accounts(Path("/bin/sh"), tmp_path)) == [Account()]


@ROOT_ONLY
def test_root_prefers_a_namespace_to_another_account(tmp_path: Path) -> None:
    found = list(accounts(Path("/bin/sh"), tmp_path / "absent"))
    assert [account.switches for account in found][:2] == [False, True]
    assert Path(found[0].prefix[0]).name == "unshare"
    assert found[0].owner == 0
    assert 65534 in {account.owner for account in found}


@ROOT_ONLY
def test_who_installed_the_server_may_run_it(tmp_path: Path) -> None:
    shutil.copy("/bin/sh", tmp_path / "postgres")
    os.chown(tmp_path / "postgres", 1, 1)
    second = list(accounts(tmp_path / "postgres", tmp_path / "absent"))[1]
    assert second.uid == 1


@ROOT_ONLY
def test_existing_data_keeps_its_owner(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    assert list(accounts(Path("/bin/sh"), data)) == [Account(uid=65534, gid=65534)]


@ROOT_ONLY
def test_an_account_is_asked_before_it_is_trusted(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    nobody = Account(uid=65534, gid=65534)
    assert nobody.run("/usr/bin/id", "-u", seconds=60).stdout == "65534\n"
    assert nobody.run("/usr/bin/id", "-G", seconds=60).stdout == "65534\n"
    assert nobody.can_enter(Path("/tmp"))
    assert not nobody.can_enter(tmp_path)
    assert not nobody.can("/absent")
    assert Account().can_enter(tmp_path)
