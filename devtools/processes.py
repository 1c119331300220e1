"""Running other programs: quietly, with a log, or in this process's place."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from typing import Mapping, NoReturn, Sequence

from devtools.venvs import MAIN, ROOT, WINDOWS, Venv, say

HEARTBEAT_SECONDS = 15
REPETITIVE = re.compile(r"Ignoring |WARNING: Retrying \(Retry\(total=[^0]")
# Without compiled files each start of the service compiles 900 modules, for a second and more.
MISLEADING = ("PYTHONHOME", "__PYVENV_LAUNCHER__", "PYTHONDONTWRITEBYTECODE")


def answer(command: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    """What a command prints, or None if it cannot run or fails."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, check=False
        )
    except OSError:
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def has_ended(child: subprocess.Popen[bytes], within: float) -> bool:
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def tell(part: str) -> None:
    print(part, end="", file=sys.stderr, flush=True)


class Step:
    """Runs installers with their output in a log, which is shown only if one fails."""

    def __init__(self, venv: Venv, env: Mapping[str, str], lock: int) -> None:
        self._log = venv.path / "setup.log"
        self._env = dict(env)
        self._inherited = () if WINDOWS else (lock,)

    def __call__(self, what: str, command: Sequence[str], **env: str) -> bool:
        started = time.monotonic()
        tell(f"dev: {what} ..")
        with self._log.open("ab") as log:
            log.write(f"\n$ {' '.join(map(shlex.quote, command))}\n".encode())
            log.flush()
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._env, **env},
                cwd=ROOT,
                pass_fds=self._inherited,
            )
            try:
                while not has_ended(child, HEARTBEAT_SECONDS):
                    tell(f" {time.monotonic() - started:.0f} s ..")
            except BaseException:
                tell(" stopped\n")
                child.terminate()
                child.wait()
                raise
        outcome = "failed after " if child.returncode else ""
        tell(f" {outcome}{time.monotonic() - started:.1f} s\n")
        return child.returncode == 0

    def tail(self, lines: int = 6) -> str:
        """The end of the log, without all but the last of pip's retries."""
        text = self._log.read_text("utf-8", "replace").splitlines()
        telling = [line for line in text if line and not REPETITIVE.match(line)]
        return "\n".join(f"  {line}" for line in telling[-lines:])


def inside() -> dict[str, str]:
    """The environment variables of a person who has activated .venv."""
    env = {key: value for key, value in os.environ.items() if key not in MISLEADING}
    path = os.pathsep.join([str(MAIN.bin), env.get("PATH", os.defpath)])
    return {**env, "VIRTUAL_ENV": str(MAIN.path), "PATH": path}


def become(command: Sequence[str]) -> NoReturn:
    """Ends as the command ends: same exit code, same signals."""
    env = inside()
    program = shutil.which(command[0], path=env["PATH"])
    if program is None:
        say(f"{command[0]}: no such command")
        sys.exit(127)
    if WINDOWS:
        sys.exit(subprocess.call([program, *command[1:]], env=env))
    os.execve(program, [program, *command[1:]], env)  # noqa: S606  (no shell is the point)
