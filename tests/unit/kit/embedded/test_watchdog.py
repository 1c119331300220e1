from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agentcore.kit.embedded import unit, watchdog
from agentcore.kit.embedded.locks import try_lock
from agentcore.kit.embedded.processes import open_pidfd, runs
from tests.fakes.process_table import living, parent_of
from tests.unit.kit.embedded.homes import wait_until

SLEEP = "/bin/sleep"
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"


class Watched:
    """A client that holds its lock, and a watchdog started by it."""

    def __init__(self, folder: Path) -> None:
        self.clients = folder / "clients"
        self.alive = folder / "alive"
        client = try_lock(self.clients, "shared")
        assert client is not None
        self._client = client

    def start(self, *arguments: str, steps: str = "15:5,9:5", inherited: int = -1) -> None:
        alive = try_lock(self.alive, "exclusive")
        assert alive is not None
        interpreter = [sys.executable, "-I", "-S", watchdog.__file__]
        subprocess.run(
            [*interpreter, str(self.clients), str(alive), steps, *arguments],
            pass_fds=[fd for fd in (alive, inherited) if fd >= 0],
            check=True,
            timeout=60,
        )
        os.close(alive)

    @property
    def pid(self) -> int:
        wait_until(lambda: self.alive.read_text() != "", "the watchdog noted no pid")
        return int(self.alive.read_text())

    def leave(self) -> None:
        os.close(self._client)
        self._client = -1

    def is_over(self) -> bool:
        if (alive := try_lock(self.alive, "exclusive")) is None:
            return False
        os.close(alive)
        return True

    def close(self) -> None:
        if self._client >= 0:
            self.leave()
        wait_until(self.is_over, "the watchdog did not end")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    started = Watched(tmp_path)
    yield started
    started.close()


def test_a_server_runs_as_long_as_a_client_holds_the_file(watched: Watched) -> None:
    watched.start("run", "-1", "-1", SLEEP, "60")
    pid = watched.pid
    wait_until(lambda: has_become(pid, SLEEP), "the server did not start")
    assert not watched.is_over()
    watched.leave()
    wait_until(watched.is_over, "the watchdog did not end")
    assert not runs(pid, SLEEP)


def test_the_end_of_the_server_ends_the_watchdog(watched: Watched) -> None:
    watched.start("run", "-1", "-1", SLEEP, "60")
    wait_until(lambda: has_become(watched.pid, SLEEP), "the server did not start")
    os.kill(watched.pid, signal.SIGKILL)
    wait_until(watched.is_over, "the watchdog outlived its server")


def test_a_client_that_is_gone_before_the_start_leaves_nothing(watched: Watched) -> None:
    watched.leave()
    watched.start("run", "-1", "-1", SLEEP, "60")
    wait_until(watched.is_over, "the watchdog did not end")
    assert not runs(watched.pid, SLEEP)


def test_a_server_that_ignores_the_first_signal_gets_the_next(watched: Watched) -> None:
    watched.start("run", "-1", "-1", sys.executable, "-c", STUBBORN, steps="2:0.1,9:5")
    pid = watched.pid
    wait_until(lambda: has_become(pid, STUBBORN), "the server did not start")
    # Until the interpreter has come to the line that ignores it, the first signal is enough.
    wait_until(lambda: _ignores(pid, signal.SIGINT), "the server does not ignore the signal")
    watched.leave()
    wait_until(watched.is_over, "the watchdog did not end")
    assert not runs(pid, STUBBORN)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_to_the_whole_group_do_not_reach_through_it(
    watched: Watched, number: signal.Signals
) -> None:
    """A service manager's SIGTERM for everybody must not take the server from draining clients."""
    watched.start("run", "-1", "-1", sys.executable, "-c", STUBBORN, steps="9:5")
    wait_until(lambda: has_become(watched.pid, STUBBORN), "the server did not start")
    guard = parent_of(watched.pid)
    os.kill(guard, number)
    time.sleep(0.05)
    assert not watched.is_over()
    assert os.getpgid(guard) != os.getpgid(0)


@pytest.mark.parametrize("with_pidfd", [True, False])
@pytest.mark.parametrize("end", ["client", "server"])
def test_an_adopted_server_is_watched_like_a_child(
    watched: Watched, with_pidfd: bool, end: str
) -> None:
    with _orphan() as pid:
        pidfd = open_pidfd(pid) if with_pidfd else -1
        watched.start("adopt", str(pid), str(pidfd), inherited=pidfd)
        if pidfd >= 0:
            os.close(pidfd)
        assert watched.pid == pid
        if end == "client":
            watched.leave()
        else:
            os.kill(pid, signal.SIGKILL)
        wait_until(watched.is_over, "the watchdog did not end")
        wait_until(lambda: not runs(pid, SLEEP), "the adopted server still runs")


def test_a_program_that_cannot_run_is_reported_and_ends_it(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watched.start("run", "-1", "-1", str(tmp_path / "absent"))
    wait_until(watched.is_over, "the watchdog did not end")
    assert f"FATAL:  cannot run {tmp_path / 'absent'}: No such file" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_root_runs_a_server_as_another_account(watched: Watched) -> None:
    watched.start("run", "65534", "65534", SLEEP, "60")
    wait_until(lambda: has_become(watched.pid, SLEEP), "the server did not start")
    assert Path(f"/proc/{watched.pid}").stat().st_uid == 65534


def test_the_server_inherits_neither_lock(watched: Watched) -> None:
    watched.start("run", "-1", "-1", SLEEP, "60")
    wait_until(lambda: has_become(watched.pid, SLEEP), "the server did not start")
    descriptors = Path(f"/proc/{watched.pid}/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    held = {str(descriptor.readlink()) for descriptor in descriptors.iterdir()}
    assert not held & {str(watched.clients), str(watched.alive)}


def test_a_second_exclusive_holder_is_waited_for(watched: Watched) -> None:
    watched.start("run", "-1", "-1", SLEEP, "60")
    other = os.open(watched.clients, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_SH)
    watched.leave()
    time.sleep(0.05)
    assert not watched.is_over()
    os.close(other)
    wait_until(watched.is_over, "the watchdog did not end")


def has_become(pid: int, word: str) -> bool:
    """Just forked, it still has the watchdog's command, which names all of the server's words."""
    return runs(pid, word) and not runs(pid, watchdog.__file__)


@contextmanager
def _orphan() -> Iterator[int]:
    """A process that this test does not have to wait for, like a server of a killed watchdog."""
    script = f'{SLEEP} 60 >/dev/null 2>&1 </dev/null & echo "$!"'
    started = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    pid = int(started.stdout)
    wait_until(lambda: runs(pid, SLEEP), "the orphan did not start")
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(0.5)
        return True
    mask = int(status.read_text().partition("SigIgn:")[2].split()[0], 16)
    return bool(mask & (1 << (number - 1)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file without room")
def test_no_room_for_notes_or_words_does_not_end_it(watched: Watched) -> None:
    """The server would be left without a watchdog."""
    mark = f"60.{os.getpid()}"
    with Path("/dev/full").open("wb") as full:
        alive = str(full.fileno())
        arguments = (str(watched.clients), alive, "15:5", "run", "-1", "-1", SLEEP, mark)
        subprocess.run(
            [sys.executable, "-I", "-S", watchdog.__file__, *arguments],
            pass_fds=[full.fileno()],
            stdout=full,
            stderr=full,
            check=True,
        )
    wait_until(lambda: _commands_with(mark) == 2, "server and watchdog do not both run")
    time.sleep(0.05)
    assert _commands_with(mark) == 2
    watched.leave()
    wait_until(lambda: _commands_with(mark) == 0, "the server outlived its client")


def _commands_with(word: str) -> int:
    return sum(word in row.command for row in living())


def test_a_note_names_a_server_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    path.write_text("123456\n")
    descriptor = os.open(path, os.O_RDWR)
    over = threading.Event()
    seen: set[int | None] = set()

    def read() -> None:
        while not over.is_set():
            seen.add(unit.number_in(path))

    def write() -> bool:
        for pid in [410, 123456] * 2000:
            watchdog.note(descriptor, pid)
        return seen >= {410, 123456}

    with ThreadPoolExecutor() as reader:
        reading = reader.submit(read)
        try:
            wait_until(write, "the reader never met both numbers")
        finally:
            over.set()
        reading.result()
    os.close(descriptor)
    assert seen == {410, 123456}
    assert path.read_text() == "123456\n"
