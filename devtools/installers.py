"""Getting pip and uv, and telling uv what this machine has told pip."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Mapping

from devtools.processes import MISLEADING, Step, answer
from devtools.venvs import BOOTSTRAP, MAIN, Venv

PIP_THAT_KNOWS_PYTHON = (22, 3)
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
}


def find_pip(venv: Venv, python: str) -> list[str] | None:
    """A pip that can install into the environment, which has none of its own at first."""
    for host in dict.fromkeys([python, sys.executable]):
        version = (answer([host, "-c", "import pip; print(pip.__version__)"]) or "").split(".")
        if tuple(int(part) for part in version[:2] if part.isdigit()) >= PIP_THAT_KNOWS_PYTHON:
            return [host, "-m", "pip", "--python", str(venv.python)]
    if answer([str(venv.python), "-m", "ensurepip", "--default-pip"]) is not None:
        return [str(venv.python), "-m", "pip"]
    return None


def find_uv(venv: Venv, pip: list[str] | None, step: Step) -> str | None:
    """The locked uv, put into the environment; the machine's own only where pip is missing."""
    for present in (venv.bin / "uv", MAIN.bin / "uv"):
        if answer([str(present), "--version"]) is not None:
            return str(present)
    if pip is None:
        return shutil.which("uv")
    options = ["install", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    step("fetching uv, the installer", [*pip, *options, "-r", str(BOOTSTRAP)])
    own = str(venv.bin / "uv")
    return own if answer([own, "--version"]) is not None else None


def pip_settings(pip: list[str] | None) -> dict[str, str]:
    listing = answer([*pip, "config", "list"]) if pip else None
    if listing is None:
        names = (name for name in os.environ if name.startswith("PIP_"))
        listing = "\n".join(
            f":env:.{name[4:].lower().replace('_', '-')}={os.environ[name]}" for name in names
        )
    return parse_pip_settings(listing)


def parse_pip_settings(listing: str) -> dict[str, str]:
    """`pip config list` as pip itself weighs it: the environment, then install, then global."""
    ranks = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        rank = ranks.get(section, -1)
        if rank >= found.get(key, (0, ""))[0]:
            found[key] = (rank, " ".join(value.strip("'\"").replace("\\n", " ").split()))
    return {key: value for key, (_, value) in found.items()}


def uv_settings(pip: Mapping[str, str]) -> dict[str, str]:
    """What pip is told under uv's names; what is already set for uv stays as it is."""
    env = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    for key, name in PIP_TO_UV.items():
        values = [value for value in pip.get(key, "").split() if not is_missing_file(value)]
        if values and name not in os.environ:
            env[name] = ("," if name == "UV_FIND_LINKS" else " ").join(values)
    if "UV_INDEX" in env and "UV_INDEX_STRATEGY" not in os.environ:
        # pip looks at every index, uv stops at the first; the hashes make looking further safe.
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    cache = uv_cache()
    if cache is None or not is_writable(cache):
        env["UV_NO_CACHE"] = "1"
    return env


def is_missing_file(value: str) -> bool:
    """pip passes over places that are not there; uv stops at them."""
    path = value[len("file://") :] if value.startswith("file://") else value
    return path.startswith("/") and not os.path.exists(path)


def uv_cache() -> Path | None:
    """None for a user who has no home at all."""
    own = os.environ.get("UV_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if own is None and not os.path.isabs(shared):
        return None
    return Path(own or f"{shared}/uv")


def is_writable(folder: Path) -> bool:
    existing = next((p for p in (folder, *folder.parents) if os.path.exists(p)), folder)
    return os.path.isdir(existing) and os.access(existing, os.W_OK)


def installer_environment(pip: list[str] | None) -> dict[str, str]:
    """What makes sense for a person's own installs (--user, --target) would break ours."""
    unwanted = (*MISLEADING, "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    ours = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_USER": "0",
    }
    return {**env, **ours, **uv_settings(pip_settings(pip))}
