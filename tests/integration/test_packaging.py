"""What is shipped: the wheel, the locks, the image and the composition."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

from agentcore.settings import load_settings
from devtools.venvs import INFERENCE, OLDER_PEERS, PEERS, ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    wheel.extractall(folder)
    return folder


def tracked(folder: str) -> set[str]:
    """Sources by their path below ``folder``, without what running them leaves behind."""
    found = (ROOT / folder).rglob("*")
    return {
        str(path.relative_to(ROOT / folder))
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


class TestWheel:
    def test_it_carries_every_source_and_template(self, wheel: zipfile.ZipFile) -> None:
        carried = {name.removeprefix("agentcore/") for name in wheel.namelist()}
        assert tracked("src/agentcore") <= carried
        assert "py.typed" in carried

    def test_it_carries_the_migrations(self, wheel: zipfile.ZipFile) -> None:
        names = set(wheel.namelist())
        assert {f"agentcore/migrations/{path}" for path in tracked("alembic")} <= names
        assert "agentcore/migrations/env.py" in names
        assert any(name.startswith("agentcore/migrations/versions/0001_") for name in names)

    def test_it_carries_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
        assert tops == {"agentcore", f"agentcore-{PROJECT['version']}.dist-info"}
        assert not [name for name in wheel.namelist() if name.endswith(".pyc")]

    def test_its_metadata_are_the_projects(self, wheel: zipfile.ZipFile) -> None:
        info = f"agentcore-{PROJECT['version']}.dist-info"
        metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
        assert metadata["Requires-Python"] == ">=3.11"
        assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
        assert (
            "agentcore = agentcore.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()
        )

    def test_it_finds_its_own_migrations(self, unpacked: Path) -> None:
        script = "from agentcore.kit.db_migrations import head, scripts; print(scripts(), head())"
        found = subprocess.run(
            [sys.executable, "-c", script],
            cwd=unpacked,
            env={"PYTHONPATH": str(unpacked)},
            capture_output=True,
            text=True,
            check=True,
        )
        newest = max((ROOT / "alembic" / "versions").glob("[0-9]*.py")).name[:4]
        assert found.stdout.split() == [str(unpacked / "agentcore" / "migrations"), newest]


def pins(lock: Path) -> dict[str, list[tuple[Version, Requirement]]]:
    """By name; there are several where markers choose."""
    found: dict[str, list[tuple[Version, Requirement]]] = {}
    for line in lock.read_text("utf-8").splitlines():
        if "==" in line and not line.startswith(" "):
            pin = Requirement(line.rstrip("\\ "))
            version = Version(next(iter(pin.specifier)).version)
            found.setdefault(pin.name, []).append((version, pin))
    return found


def unmet(requirements: list[str], lock: Path, python: str, platform: str) -> list[str]:
    locked = pins(lock)
    machine = {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
    }
    wanted = [Requirement(text) for text in requirements]
    return [
        str(requirement)
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate(machine)
        if not any(
            requirement.specifier.contains(version)
            for version, pin in locked.get(requirement.name.lower(), [])
            if pin.marker is None or pin.marker.evaluate(machine)
        )
    ]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
class TestLocks:
    def test_the_lock_satisfies_the_project_with_all_extras(
        self, python: str, platform: str
    ) -> None:
        extras = [name for group in PROJECT["optional-dependencies"].values() for name in group]
        requirements = [*PYPROJECT["build-system"]["requires"], *PROJECT["dependencies"], *extras]
        missing = unmet(requirements, ROOT / "requirements.lock", python, platform)
        assert missing == [], "run: python3 dev.py lock"

    def test_the_peers_lock_satisfies_its_source(self, python: str, platform: str) -> None:
        for venv in (PEERS, *OLDER_PEERS, INFERENCE):
            source = ROOT / "tests" / "peers" / f"{venv.lock.stem.replace('-peers', '')}.in"
            lines = source.read_text("utf-8").splitlines()
            requirements = [line for line in lines if line and not line.startswith("#")]
            assert unmet(requirements, venv.lock, python, platform) == []


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    joined = dockerfile.replace("\\\n", " ")
    lines = (line.strip() for line in joined.splitlines())
    parts = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return [(name, rest) for name, _, rest in parts]


class TestImage:
    steps = instructions((ROOT / "Dockerfile").read_text("utf-8"))

    def all(self, name: str) -> list[str]:
        return [rest for step, rest in self.steps if step == name]

    def test_it_knows_only_dockers_words(self) -> None:
        words = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE"}
        words |= {"HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
        assert {name for name, _ in self.steps} <= words
        assert self.steps[0][0] == "FROM"

    def test_its_shell_is_correct(self) -> None:
        for script in self.all("RUN"):
            subprocess.run(["sh", "-n", "-c", script], check=True)

    def test_it_is_slim_and_runs_as_nobody_special(self) -> None:
        assert all("slim" in base for base in self.all("FROM"))
        assert self.all("USER") == ["10001"]

    def test_it_leaves_the_embedded_servers_and_tools_out(self) -> None:
        installs = " ".join(self.all("RUN"))
        assert "--require-hashes" in installs
        assert "extra" not in installs

    def test_what_it_copies_exists_and_is_let_in(self) -> None:
        let_in = {
            line.removeprefix("!")
            for line in (ROOT / ".dockerignore").read_text().splitlines()
            if line.startswith("!")
        }
        copied = [
            source
            for rest in self.all("COPY")
            if "--from" not in rest
            for source in rest.split()[:-1]
        ]
        assert set(copied) == let_in
        assert all((ROOT / source).exists() for source in copied)

    def test_it_says_whether_it_is_alive(self) -> None:
        assert ["/health/live" in check for check in self.all("HEALTHCHECK")] == [True]


class TestComposition:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]

    def test_it_is_the_service_on_a_database_and_a_cache(self) -> None:
        assert set(self.services) == {"postgres", "redis", "migrate", "agentcore"}

    def test_nothing_starts_before_what_it_needs(self) -> None:
        for service in self.services.values():
            for name, how in service.get("depends_on", {}).items():
                wanted = how["condition"]
                assert wanted == "service_completed_successfully" or (
                    "healthcheck" in self.services[name]
                )

    def test_its_settings_are_settings(self) -> None:
        secret = "x" * 32
        environ = {
            name: value.replace("${AGENTCORE_JWT_SECRET:?32 characters or more}", secret)
            for name, value in self.services["agentcore"]["environment"].items()
        }
        settings = load_settings(environ={**environ, "AGENTCORE_SERVER__HOST": "0.0.0.0"})
        assert settings.database.url.endswith("@postgres/agentcore")
        assert settings.cache.url == "redis://redis:6379/0"
        assert settings.security.jwt_secret.get_secret_value() == secret

    def test_it_is_reachable_from_this_machine_only(self) -> None:
        published = [port for s in self.services.values() for port in s.get("ports", [])]
        assert published
        assert all(port.startswith("127.0.0.1:") for port in published)

    def test_no_secret_has_a_default(self) -> None:
        assert self.text.count(":?") == self.text.count("${")


def test_hooks_run_inside_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert all(hook["entry"].startswith("python3 dev.py run ") for hook in hooks)
