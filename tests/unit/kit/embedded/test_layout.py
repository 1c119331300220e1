from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentcore.kit.embedded.layout import Home, open_home, user_name
from agentcore.kit.errors import StartupError

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")


def test_a_home_is_made_private_with_its_folders(tmp_path: Path) -> None:
    home = open_home(tmp_path / "a" / "home")
    for folder in (home.path, home.clients.parent, home.log("x").parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_an_existing_home_and_its_parents_keep_their_modes(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    tmp_path.chmod(0o711)
    open_home(tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o755
    assert tmp_path.stat().st_mode & 0o777 == 0o711


def test_one_home_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(tmp_path / "home")
    (tmp_path / "link").symlink_to(home.path)
    monkeypatch.chdir(tmp_path)
    assert open_home(tmp_path / "link") == open_home(Path("home")) == home


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StartupError, match=f"{tmp_path}/home is not a folder") as caught:
        open_home(tmp_path / "home")
    assert "AGENTCORE_HOME" in caught.value.hint
    with pytest.raises(StartupError, match=f"cannot use {tmp_path}/home/in as home: Not a dir"):
        open_home(tmp_path / "home" / "in")


@ROOT_ONLY
def test_somebody_elses_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)
    with pytest.raises(StartupError, match=f"{tmp_path}/home belongs to nobody, this is root"):
        open_home(tmp_path / "home")


def test_sockets_stay_in_the_home_when_its_path_is_short() -> None:
    home = Home(Path("/h/agent"))
    assert home.socket_folder(os.geteuid()) == Path("/h/agent/run")


@pytest.mark.parametrize("path", ["/h/" + "x" * 90, "/h/with,comma", "/h/with space", "/h/ü"])
def test_sockets_of_a_long_or_odd_path_have_a_short_place(path: str) -> None:
    folder = Home(Path(path)).socket_folder(os.geteuid())
    assert folder.parent == Path("/tmp")
    assert folder == Home(Path(path)).socket_folder(os.geteuid())
    assert folder != Home(Path(path + "x")).socket_folder(os.geteuid())
    assert len(str(folder / ".s.PGSQL.5432")) < 104


@ROOT_ONLY
def test_a_private_folder_must_be_its_owners_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make_private(tmp_path / "mine", 0)
    home.make_private(tmp_path / "theirs", 65534)
    assert (tmp_path / "theirs").stat().st_uid == 65534
    with pytest.raises(StartupError, match="theirs belongs to nobody"):
        home.make_private(tmp_path / "theirs", 0)
    (tmp_path / "mine").chmod(0o750)
    with pytest.raises(StartupError, match="mine is open to other users"):
        home.make_private(tmp_path / "mine", 0)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(StartupError, match="link"):
        home.make_private(tmp_path / "link", 0)


def test_a_uid_without_a_name_can_be_shown() -> None:
    assert user_name(0) == "root"
    assert user_name(54321) == "uid 54321"
