"""Making an environment, or bringing it up to its lock."""

from __future__ import annotations

import shutil
import subprocess
import time

from devtools.installers import find_pip, find_uv, installer_environment
from devtools.interpreters import OLDEST, find_python, probe
from devtools.processes import Step
from devtools.venvs import (
    BOOTSTRAP,
    ROOT,
    SetupFailed,
    Venv,
    is_ready,
    only_one,
    say,
    was_moved,
    write_stamp,
)

NO_INSTALLER = (
    "there is neither pip nor uv here; install one of them "
    "(apt or dnf install python3-pip, pacman -S python-pip, brew install uv)"
)


def set_up(venv: Venv) -> None:
    """Does nothing, quickly, if nothing is to be done."""
    try:
        if not is_ready(venv):
            with only_one(venv) as lock:
                if not is_ready(venv):
                    build(venv, lock)
    except OSError as error:
        raise SetupFailed(f"cannot set up {venv.path}: {error}") from error


def build(venv: Venv, lock: int) -> None:
    started = time.monotonic()
    if not is_usable(venv):
        make(venv)
    venv.unfinished.touch()
    if venv.stamp.exists():
        venv.stamp.unlink()
    pip = find_pip(venv, find_python())
    if pip is None and shutil.which("uv") is None:
        raise SetupFailed(NO_INSTALLER)
    install(venv, pip, Step(venv, installer_environment(pip), lock))
    venv.unfinished.unlink()
    write_stamp(venv)
    say(f"{venv.path.name} is ready ({time.monotonic() - started:.1f} s)")


def is_usable(venv: Venv) -> bool:
    if venv.unfinished.exists() or was_moved(venv) or not venv.python.exists():
        return False
    found = probe(str(venv.python))
    return found is not None and found.version >= OLDEST


def make(venv: Venv) -> None:
    python = find_python()
    if venv.path.exists():
        say(f"removing a {venv.path.name} that was not finished, was moved or no longer runs")
        shutil.rmtree(venv.path)
    started = time.monotonic()
    venv.path.mkdir()
    venv.unfinished.touch()
    try:
        subprocess.run([python, "-m", "venv", "--without-pip", str(venv.path)], check=True)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"{python} cannot make an environment") from error
    say(f"made {venv.path.name} with {python} ({time.monotonic() - started:.1f} s)")


def install(venv: Venv, pip: list[str] | None, step: Step) -> None:
    """By uv; if it cannot, by pip, which is slower but knows all of this machine's ways."""
    uv = find_uv(venv, pip, step)
    if uv is not None and install_by_uv(venv, uv, step):
        return
    if pip is None:
        raise SetupFailed(f"uv could not install the packages:\n{step.tail()}")
    say("uv could not; now pip, which takes about a minute")
    if not install_by_pip(venv, pip, step):
        raise SetupFailed(f"neither uv nor pip could install the packages:\n{step.tail()}")


def packages_of(venv: Venv) -> str:
    lines = venv.lock.read_text("utf-8").splitlines()
    return f"installing {venv.lock.name} ({sum('==' in line for line in lines)} packages)"


PROJECT = "installing agentcore itself, editable"
HERE = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]


def install_by_uv(venv: Venv, uv: str, step: Step) -> bool:
    into = ["--python", str(venv.python)]
    what = packages_of(venv)
    sync = [uv, "pip", "sync", *into, "--require-hashes", str(venv.lock), str(BOOTSTRAP)]
    if not step(what, sync) and not (
        "certificate" in step.tail() and step(what, sync, UV_SYSTEM_CERTS="1")
    ):
        return False
    here = [uv, "pip", "install", *into, "--offline", *HERE]
    return not venv.holds_project or step(PROJECT, here)


def install_by_pip(venv: Venv, pip: list[str], step: Step) -> bool:
    locked = [*pip, "install", "--no-deps", "--require-hashes", "-r", str(venv.lock)]
    if not step(packages_of(venv), locked):
        return False
    return not venv.holds_project or step(PROJECT, [*pip, "install", *HERE])
