"""The commands of dev.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Callable, NoReturn, Sequence

from devtools.locks import write_locks
from devtools.node import A2A_JS, PORTKEY, install, install_if_possible
from devtools.processes import become, inside
from devtools.setup import set_up
from devtools.venvs import (
    A2A,
    GATEWAYS,
    INFERENCE,
    MAIN,
    NODE,
    OLDER_PEERS,
    PEERS,
    ROOT,
    SetupFailed,
    say,
)

USAGE = """\
usage: python3 dev.py COMMAND [ARGS]

  demo [ARGS]   the whole loop on embedded defaults; --stay leaves the server up
  test [ARGS]   the whole test suite; ARGS go to pytest
  check         format, lint, types, import contracts, house rules
  bench [ARGS]  the benchmarks
  run CMD ...   any command inside the environment: run agentcore serve
  peers         only make the environments of the foreign programs that tests drive;
                peers inference: that of an inference server, whose test is skipped without it
                peers gateway: that of the gateways that the benchmark measures
  lock [ARGS]   renew the lock files; ARGS go to uv: lock --upgrade
  clean         remove the environments and caches

Each first sets up what it needs: a Python from 3.11 on, .venv, and the locked packages.
"""


def test(args: Sequence[str]) -> NoReturn:
    for venv in (MAIN, PEERS, *OLDER_PEERS):
        set_up(venv)
    install_if_possible(A2A_JS)
    os.chdir(ROOT)
    chosen = any(arg.startswith(("-n", "--numprocesses", "--pdb", "--trace")) for arg in args)
    parallel = [] if chosen else ["-n", str(cores() + 1)]  # some tests wait
    become([str(MAIN.python), "-m", "pytest", *parallel, *args])


def cores() -> int:
    """Those that this process may use, which in a container are fewer than there are."""
    if sys.platform == "linux":
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    return usable


CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "import contracts": ["lint-imports"],
    "house rules": ["python", "-m", "pytest", "-q", "-W", "error", "tests/architecture"],
}


def check(args: Sequence[str]) -> NoReturn:
    refuse(args)
    set_up(MAIN)
    env, failed = inside(), []
    for name, (program, *options) in CHECKS.items():
        say(name)
        if subprocess.call([str(MAIN.bin / program), *options], cwd=ROOT, env=env) != 0:
            failed.append(name)
    sys.exit(f"dev: failed: {', '.join(failed)}" if failed else 0)


def demo(args: Sequence[str]) -> NoReturn:
    set_up(MAIN)
    become(["agentcore", "demo", *args])


def bench(args: Sequence[str]) -> NoReturn:
    set_up(MAIN)
    if "openenv" in args:
        set_up(PEERS)
    if "a2a" in args:
        set_up(A2A)
    if "admission" in args:
        set_up(INFERENCE)
    os.chdir(ROOT)
    become([str(MAIN.python), "-m", "benchmarks", *args])


def run(args: Sequence[str]) -> NoReturn:
    if not args:
        sys.exit("dev: run what? As in: python3 dev.py run agentcore serve")
    set_up(MAIN)
    become(args)


def peers(args: Sequence[str]) -> NoReturn:
    if list(args) == ["gateway"]:
        gateways()
        sys.exit(0)
    chosen = [INFERENCE] if list(args) == ["inference"] else [PEERS, *OLDER_PEERS]
    refuse(args if INFERENCE not in chosen else ())
    for venv in chosen:
        set_up(venv)
    if INFERENCE not in chosen:
        install(A2A_JS)
    sys.exit(0)


def gateways() -> None:
    """LiteLLM and TensorZero from PyPI; Portkey from npm, with the versions of its own lock."""
    set_up(GATEWAYS)
    install(PORTKEY)


def lock(args: Sequence[str]) -> NoReturn:
    set_up(MAIN)
    write_locks(args)
    sys.exit(0)


LEFT_BEHIND = (
    *(venv.path.name for venv in (MAIN, PEERS, *OLDER_PEERS, INFERENCE, GATEWAYS, A2A, NODE)),
    A2A_JS.path.name,
    *(".pytest_cache", ".mypy_cache", ".ruff_cache"),
    *(".import_linter_cache", ".hypothesis", "build", "dist"),
)


def clean(args: Sequence[str]) -> NoReturn:
    refuse(args)
    tops = ("alembic", "benchmarks", "devtools", "src", "tests")
    compiled = [found for top in tops for found in (ROOT / top).rglob("__pycache__")]
    for path in (*compiled, *(ROOT / name for name in LEFT_BEHIND)):
        if path.is_dir():
            shutil.rmtree(path)
    sys.exit(0)


def refuse(args: Sequence[str]) -> None:
    if args:
        sys.exit(f"dev: this command takes no arguments: {' '.join(args)}")


COMMANDS: dict[str, Callable[[Sequence[str]], NoReturn]] = {
    command.__name__: command for command in (demo, test, check, bench, run, peers, lock, clean)
}


def main(arguments: Sequence[str]) -> NoReturn:
    name = arguments[0] if arguments else ""
    if name in ("help", "-h", "--help"):
        print(USAGE, end="")
        sys.exit(0)
    if name not in COMMANDS:
        if name:
            print(f"dev: there is no command {name!r}\n", file=sys.stderr)
        print(USAGE, end="", file=sys.stderr)
        sys.exit(2)
    try:
        COMMANDS[name](arguments[1:])
    except SetupFailed as error:
        sys.exit(f"dev: {error}")
    except KeyboardInterrupt:
        say("interrupted; the next start picks up from here")
        sys.exit(130)
