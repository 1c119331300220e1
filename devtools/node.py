"""Packages of npm, with the versions of a lock file, in a folder of this checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from devtools.processes import inside
from devtools.venvs import ROOT, SetupFailed, say

MANIFESTS = ("package.json", "package-lock.json")


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


def install(packages: NodePackages) -> bool:
    """Whether they are there now; without npm they are not.

    Raises:
        SetupFailed: npm could not install them.
    """
    if packages.ready:
        return True
    npm = shutil.which("npm")
    if npm is None:
        say(f"no npm here, so {packages.what} is passed over")
        return False
    packages.path.mkdir(parents=True, exist_ok=True)
    for name in MANIFESTS:
        shutil.copyfile(packages.source / name, packages.path / name)
    # Where there is no network, that is known soon.
    soon = ["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    quiet = [*soon, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.call([npm, "ci", *quiet], cwd=packages.path, env=inside()) != 0:
        raise SetupFailed(f"npm could not install {packages.what}")
    shutil.copyfile(packages.source / "package-lock.json", packages.stamp)
    return True


def install_if_possible(packages: NodePackages) -> None:
    """For what can be done without: says why it is not there."""
    try:
        install(packages)
    except SetupFailed as error:
        say(f"{error}; what needs it is skipped")
