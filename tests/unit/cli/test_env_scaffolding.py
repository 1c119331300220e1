"""``agentcore env new``: what it writes works, and it overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agentcore.cli.env.scaffolding import class_name, rendered
from agentcore.cli.main import run
from agentcore.training.openenv.client import Action, OpenEnvClient
from agentcore.training.openenv.environments.loading import load_environment
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports from a place of its own is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "lamp_row":
            del sys.modules[name]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["env", "new", *arguments]) == 2
    said, hint = capsys.readouterr().err.splitlines()
    assert hint.startswith("  hint: ")
    return said


async def test_a_new_environment_is_played_over_http_and_websocket(
    tmp_path: Path, imports: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["env", "new", "lamp_row", "--into", str(tmp_path / "deep" / "er")]) == 0
    package = tmp_path / "deep" / "er" / "lamp_row"
    reference = f"{package}:LampRowEnv"
    assert f"agentcore env serve {reference}" in capsys.readouterr().out
    name, factory = load_environment(reference)
    assert name == "lamp_row"
    async with serving(EnvironmentServer(name, factory)) as url:
        async with httpx2.AsyncClient(base_url=url) as http:
            assert (await http.get("/metadata")).json()["name"] == "lamp_row"
            assert (await http.post("/reset", json={"seed": 1})).json()["done"] is False
        async with OpenEnvClient(url) as env:
            info = await env.connect()
            first = await env.reset(seed=1)
            assert first.state["lamps"] != [False] * 5
            results = [
                await env.step(Action(type="press", parameters={"lamp": 0}))
                for _ in range(info.max_episode_steps or 0)
            ]
    assert [result.done for result in results] == [False] * 19 + [True]


def test_a_new_environment_passes_validation(
    tmp_path: Path, imports: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["env", "new", "lamp_row", "--into", str(tmp_path)]) == 0
    assert run(["env", "validate", f"{tmp_path / 'lamp_row'}:LampRowEnv"]) == 0
    assert " 0 failed" in capsys.readouterr().out


def test_its_own_tests_pass_and_it_is_formatted(tmp_path: Path) -> None:
    assert run(["env", "new", "lamp_row", "--into", str(tmp_path)]) == 0
    ruff = ("ruff", "check", "--isolated", "--no-cache", "--line-length=100")
    for command in (
        ("pytest", "-q", "-p", "no:cacheprovider", "lamp_row"),
        (*ruff, "--select=E,F,I,B,UP,PT,ANN,SIM,RUF", "lamp_row"),
        ("ruff", "format", "--isolated", "--no-cache", "--line-length=100", "--check", "lamp_row"),
    ):
        words = [sys.executable, "-m", *command]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_complete(tmp_path: Path) -> None:
    texts = rendered("lamp_row")
    assert set(texts) == {
        "Dockerfile",
        "README.md",
        "__init__.py",
        "app.py",
        "environment.py",
        "openenv.yaml",
        "test_environment.py",
    }
    assert [name for name, text in texts.items() if "$name" in text or "$class" in text] == []
    assert "FROM ${AGENTCORE_IMAGE}" in texts["Dockerfile"]
    assert "app: lamp_row.app:app" in texts["openenv.yaml"].splitlines()
    assert "  - openenv" in texts["README.md"].splitlines()


@pytest.mark.parametrize(
    ("name", "expected"), [("maze", "MazeEnv"), ("light_switch_2", "LightSwitch2Env")]
)
def test_classes_are_named_after_the_package(name: str, expected: str) -> None:
    assert class_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Maze",
        "2048",
        "my-env",
        "a b",
        "../up",
        "/abs",
        "class",
        "_x",
        "x_",
        "a__b",
        "é",
        "a" * 41,
        "maze\n",
    ],
)
def test_a_bad_name_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "--into", str(tmp_path), "--", name)
    assert said == f"agentcore: {name!r} cannot be the name of a package"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["random", "agentcore", "pytest"])
def test_a_name_that_would_hide_a_module_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "already the name of a module" in refused(capsys, name, "--into", str(tmp_path))


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lamp_row").mkdir()
    (tmp_path / "lamps").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    for name in ("lamp_row", "lamps"):
        assert f"{name} exists" in refused(capsys, name, "--into", str(tmp_path))
    said = refused(capsys, "lamp_row", "--into", str(tmp_path / "file"))
    assert said.startswith("agentcore: cannot write")
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "lamp_row").iterdir()) == []
