"""Homes of one test's own, client processes in them, and proof that nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from agentcore.kit.embedded.layout import Home
from agentcore.kit.embedded.locks import Patience
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.deployment import copy_data, new_folder
from tests.fakes.process_table import living

CLIENT = """
import asyncio, json, sys
from pathlib import Path

import structlog

from agentcore.kit.embedded import open_embedded
from agentcore.kit.errors import StartupError

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    options = json.loads(sys.argv[2])
    keep_alive = options.pop("keep_alive", False)
    try:
        async with open_embedded(Path(sys.argv[1]), **options) as servers:
            answer = {"database_url": servers.database_url, "redis_url": servers.redis_url}
            print(json.dumps({**answer, "degraded": servers.degraded}), flush=True)
            if keep_alive:
                await servers.keep_alive()
            await asyncio.to_thread(sys.stdin.read)
    except StartupError as error:
        print(json.dumps({"failed": error.detail, "hint": error.hint}), flush=True)


asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Client:
    """Another process that has the home open until it is closed or killed."""

    process: subprocess.Popen[bytes]

    def answer(self, seconds: float = 100) -> JsonObject:
        """What it says after its start: the URLs, or why it failed."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, "the client said nothing"
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


@contextmanager
def client(
    home: Path, *, prefix: Sequence[str] = (), user: int | None = None, **options: JsonValue
) -> Iterator[Client]:
    python = sys.executable if user is None else python_of(user)
    process = subprocess.Popen(
        [*prefix, python, "-c", CLIENT, str(home), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=user,
        group=user,
        extra_groups=None if user is None else (),
        start_new_session=True,
        env=_plain_environment(),
    )
    with process:
        try:
            yield Client(process)
        finally:
            process.kill()


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A short path, since sockets need one; at the end nothing of it may run or stay."""
    folder = new_folder()
    home = folder / "home"
    try:
        yield home
        wait_until(lambda: not processes_of(home), f"{home} still has processes")
    finally:
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        for sockets in Path("/tmp").glob(f"agentcore-*-{Home(home).digest}"):
            shutil.rmtree(sockets, ignore_errors=True)


@contextmanager
def used_home() -> Iterator[Path]:
    """As ``fresh_home``, with the data of a PostgreSQL that ran here and was stopped."""
    with fresh_home() as home:
        home.mkdir(mode=0o700)
        copy_data(home)
        yield home


@cache
def python_of(user: int) -> str:
    """An interpreter that this user may run with our packages; skips where there is none."""
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            done = subprocess.run(
                [python, "-c", "import agentcore.kit.embedded"],
                user=user,
                group=user,
                extra_groups=(),
                capture_output=True,
                check=False,
                env=_plain_environment(),
            )
            if done.returncode == 0:
                return python
    pytest.skip(f"this checkout or its interpreter is closed to uid {user}")


def processes_of(home: Path) -> dict[int, str]:
    """Every living process whose command names the home: servers, watchdogs and clients."""
    return {row.pid: row.command for row in living() if str(home) in row.command}


def pid_of(home: Path, *words: str) -> int:
    """The one process of the home whose command has these words."""
    found = [pid for pid, args in processes_of(home).items() if all(word in args for word in words)]
    assert len(found) == 1, (words, processes_of(home))
    return found[0]


def server_pid(home: Path, name: str) -> int:
    note = home / "locks" / f"{name}.alive"
    wait_until(lambda: bool(note.read_text()), f"{note} names a process")
    return int(note.read_text())


def watchdog_pid(home: Path, name: str) -> int:
    """The watchdog whose command ends in the server's, or that has adopted it."""
    words = ("watchdog.py", f"{home}/locks/clients")
    last = {"postgres": "/bin/postgres", "valkey": "/valkey-server"}.get(name, f"{home}/s")
    adopted = f"adopt {server_pid(home, name)} "
    for pid, args in processes_of(home).items():
        if all(word in args for word in words) and (last in args or adopted in args):
            return pid
    raise ProcessLookupError(name)


async def pauses_of(
    opening: AbstractAsyncContextManager[object], monkeypatch: pytest.MonkeyPatch
) -> int:
    """How often an opening had to wait."""
    paused: list[Patience] = []
    pause = Patience.pause

    def counted(self: Patience) -> bool:
        paused.append(self)
        return pause(self)

    with monkeypatch.context() as patched:
        patched.setattr(Patience, "pause", counted)
        async with opening:
            return len(paused)


def wait_until(condition: Callable[[], bool], message: str, seconds: float = 60) -> float:
    """The seconds that it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, message
        time.sleep(0.02)
    return time.monotonic() - start


def _plain_environment() -> Mapping[str, str]:
    """Without a caller's test settings: the client is a program of its own."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
