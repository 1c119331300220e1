from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcore.kit.embedded import elsewhere
from agentcore.kit.embedded.account import Account
from agentcore.kit.embedded.binaries import postgres_folder
from agentcore.kit.embedded.layout import Home, open_home
from agentcore.kit.errors import StartupError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's way only")
NOBODY = Account(uid=65534, gid=65534)


@pytest.fixture
def place(home: Path) -> Iterator[Home]:
    """A home below a folder that only root may enter, as /root is."""
    opened = open_home(home)
    yield opened
    shutil.rmtree(opened.outside, ignore_errors=True)


def test_a_home_that_can_be_reached_lets_one_group_pass(place: Home) -> None:
    place.path.parent.chmod(0o755)
    elsewhere.hand_over(place, NOBODY)
    assert place.data.parent == place.path
    assert place.path.stat().st_mode & 0o777 == 0o710
    assert NOBODY.can_enter(place.path)
    assert not Account(uid=1, gid=1).can_enter(place.path)


def test_data_of_a_hidden_home_goes_where_the_account_can_reach_it(place: Home) -> None:
    before = place.path.parent.stat().st_mode
    elsewhere.hand_over(place, NOBODY)
    assert place.data == place.outside / "postgres"
    assert place.path.parent.stat().st_mode == before
    assert place.path.stat().st_mode & 0o777 == 0o700
    place.data.mkdir()
    elsewhere.hand_over(place, NOBODY)
    assert place.data.stat().st_uid == 65534


def test_data_that_root_made_before_is_handed_over(place: Home) -> None:
    place.path.parent.chmod(0o755)
    (place.data / "base").mkdir(parents=True)
    (place.data / "base" / "1").write_text("row")
    elsewhere.hand_over(place, NOBODY)
    assert {path.stat().st_uid for path in (place.data, *place.data.rglob("*"))} == {65534}


def test_data_inside_a_hidden_home_is_refused_with_its_path(place: Home) -> None:
    place.data.mkdir()
    with pytest.raises(StartupError, match=f"cannot reach {place.path}"):
        elsewhere.hand_over(place, NOBODY)


def test_hidden_binaries_are_copied_once_and_run(place: Home) -> None:
    copied = elsewhere.reachable_copy(postgres_folder(), place)
    assert NOBODY.run(str(copied / "postgres"), "--version", seconds=60).returncode == 0
    assert NOBODY.run(str(copied / "initdb"), "--version", seconds=60).returncode == 0
    made = (copied / "postgres").stat()
    assert elsewhere.reachable_copy(postgres_folder(), place) == copied
    assert (copied / "postgres").stat() == made


def test_a_server_that_nobody_can_run_is_one_line(place: Home, tmp_path: Path) -> None:
    broken = tmp_path / "wheel" / "pginstall18" / "bin"
    broken.mkdir(parents=True)
    (broken / "postgres").write_text("not a program")
    with pytest.raises(StartupError, match="PostgreSQL cannot run as root here"):
        elsewhere.choose(broken, place)
