from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcore.kit.errors import StartupError
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples import guess_number
from agentcore.training.openenv.environments.loading import load_environment

CODE = Path(guess_number.__file__).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_name_is_enough(name: str) -> None:
    assert load_environment(name) == (name, BUNDLED[name])


def test_a_class_is_found_by_module_file_and_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_alone.py").write_text(CODE)
    package = tmp_path / "mine" / "games"
    package.mkdir(parents=True)
    for each in (package, package.parent):
        (each / "__init__.py").write_text("")
    (package / "environment.py").write_text(CODE + "\nfrom .parts import NOTHING\n")
    (package / "parts.py").write_text("NOTHING = 1\n")
    monkeypatch.chdir(tmp_path)
    # Other tests have a module of this name, too.
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for where in (
        "mine_alone",
        f"{tmp_path}/mine_alone.py",
        f"{tmp_path}",
        "mine.games.environment",
        f"{package}",
        "mine/games",
    ):
        name, factory = load_environment(f"{where}:GuessNumber")
        assert name == "guess_number"
        assert "hint" in factory().reset(seed=1)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "there is no environment 'nothing'"),
        ("a:b-c", "names no environment"),
        (":Class", "names no environment"),
        ("no_such_module:Class", "No module named 'no_such_module'"),
        ("no/such.py:Class", "there is no file"),
        ("mine_broken:Class", "mine_broken cannot be imported: ValueError: at import"),
        ("mine_exit:Class", "mine_exit cannot be imported: SystemExit: 7"),
        ("mine_other:Missing", "mine_other has no class Missing"),
        ("mine_other:Plain", "is not an environment"),
        ("mine_other:Half", "Half is not complete"),
        (".:Nowhere", "no file defines the class Nowhere"),
        (".:Plain", "2 files define the class Plain"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(
    reference: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_broken.py").write_text("raise ValueError('at import')\n")
    (tmp_path / "mine_exit.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "mine_syntax.py").write_text("class (\n")
    (tmp_path / "mine_third.py").write_text("class Plain: ...\n")
    (tmp_path / "mine_other.py").write_text(
        CODE + "\nclass Plain: ...\nclass Half(Environment[Guess, Guesses]): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartupError, match=message) as caught:
        load_environment(reference)
    assert caught.value.hint


@pytest.mark.parametrize("where", ["./nodir", "no/dir", "../nodir"])
def test_a_path_that_is_not_there_is_said_to_be_none(where: str) -> None:
    with pytest.raises(StartupError, match="there is no directory or Python file"):
        load_environment(f"{where}:X")
