"""One server's life with a stand-in server: a program that answers what its arguments say."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from agentcore.kit.embedded import processes
from agentcore.kit.embedded.layout import Home, open_home
from agentcore.kit.embedded.locks import Patience, try_lock
from agentcore.kit.embedded.unit import Launch, Probe, Reason, StopSteps, Unit
from agentcore.kit.errors import StartupError
from tests.unit.kit.embedded.homes import wait_until, watchdog_pid

PROGRAM = """
import os, socket, sys
address, verdict = sys.argv[1:]
print("hello", flush=True)
if verdict:
    sys.exit(0 if verdict == "0" else verdict)
listener = socket.socket(socket.AF_UNIX)
if os.path.exists(address):
    os.unlink(address)
listener.bind(address)
listener.listen()
while True:
    wire, _ = listener.accept()
    wire.sendall(b"busy" if os.path.exists(address + ".busy") else b"ready")
    wire.close()
"""


@dataclass(frozen=True, slots=True)
class StandIn:
    home: Home
    busy: bool = False
    verdict: str = ""
    launches: list[Launch] = field(default_factory=list)
    name: ClassVar[str] = "standin"
    stop_steps: ClassVar[StopSteps] = ((signal.SIGTERM, 5), (signal.SIGKILL, 5))
    patience: Patience = field(default_factory=lambda: Patience(60))
    """Given up with the second launch."""

    @property
    def address(self) -> Path:
        return self.home.path / "s"

    @property
    def work(self) -> Path:
        """It is busy while this file is there."""
        return self.home.path / "s.busy"

    def prepare(self) -> Launch:
        if self.busy:
            self.work.touch()
        arguments = (str(self.address), self.verdict)
        launch = Launch(command=(sys.executable, "-I", "-S", "-c", PROGRAM, *arguments))
        self.launches.append(launch)
        if len(self.launches) == 2:
            self.patience.give_up()
        return launch

    def probe(self) -> Probe:
        try:
            with closing(socket.socket(socket.AF_UNIX)) as wire:
                wire.settimeout(30)
                wire.connect(str(self.address))
                return "ready" if wire.recv(16) == b"ready" else "busy"
        except OSError:
            return "silent"

    def noted_pid(self) -> int | None:
        return None

    def is_process(self, pid: int) -> bool:
        return processes.runs(pid, str(self.address))

    def reason(self, said: str) -> Reason:
        words = said.strip().rpartition("\n")[2]
        return Reason(words, passes="passing" in said, known=words != "hello")


@pytest.fixture
def place(home: Path) -> Home:
    return open_home(home)


@contextmanager
def in_use(place: Home) -> Iterator[None]:
    """This process is a client of the home."""
    client = try_lock(place.clients, "shared")
    assert client is not None
    try:
        yield
    finally:
        os.close(client)


def noted(place: Home) -> int:
    return int(place.lock("standin.alive").read_text())


def test_a_server_is_started_once_and_joined_after(place: Home) -> None:
    server = StandIn(place)
    unit = Unit(place, server)
    assert unit.state() == "stopped"
    with in_use(place):
        unit.ensure(Patience(60))
        unit.ensure(Patience(60))
        Unit(place, StandIn(place)).ensure(Patience(60))
        assert len(server.launches) == 1
        assert unit.state() == "ready"
        assert unit.watched()
        assert unit.pid() == noted(place)
    wait_until(lambda: unit.state() == "stopped", "the server outlived its last client")
    assert unit.pid() is None


def test_threads_and_units_that_start_together_start_one_server(place: Home) -> None:
    servers = [StandIn(place) for _ in range(8)]
    with in_use(place):
        starts = [
            threading.Thread(target=Unit(place, server).ensure, args=(Patience(60),))
            for server in servers
        ]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert sum(len(server.launches) for server in servers) == 1


def test_a_server_that_is_busy_is_waited_for_as_long_as_it_lives(place: Home) -> None:
    server = StandIn(place, busy=True)

    def finish() -> None:
        wait_until(lambda: server.probe() == "busy", "the server does not answer")
        server.work.unlink()

    finishing = threading.Thread(target=finish)
    finishing.start()
    with in_use(place):
        Unit(place, server).ensure(Patience(60))
        assert not server.work.exists()
    finishing.join()
    assert len(server.launches) == 1


def test_the_wait_for_a_busy_server_has_a_bound_that_is_named(place: Home) -> None:
    unit = Unit(place, server := StandIn(place, busy=True))
    with in_use(place):
        with pytest.raises(StartupError, match=r"was not ready within 0.01 s"):
            unit.ensure(Patience(0.01))
        wait_until(lambda: server.probe() == "busy", "the server does not answer")
        with pytest.raises(
            StartupError, match=r"was not ready within 0.03 s: it is still"
        ) as caught:
            unit.ensure(Patience(0.03))
        assert str(place.path) in caught.value.detail
        assert str(place.log("standin")) in caught.value.hint
        assert unit.state() == "busy"


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(place: Home) -> None:
    server = StandIn(place, verdict="disk is full")
    with in_use(place), pytest.raises(StartupError, match=r"standin ended.*: disk is full$"):
        Unit(place, server).ensure(Patience(60))
    assert len(server.launches) == 1


def test_an_earlier_failure_is_not_reported_again(place: Home) -> None:
    with in_use(place):
        with pytest.raises(StartupError, match="first"):
            Unit(place, StandIn(place, verdict="first")).ensure(Patience(60))
        with pytest.raises(StartupError, match="second"):
            Unit(place, StandIn(place, verdict="second")).ensure(Patience(60))


def test_what_passes_is_tried_again_until_patience_ends(place: Home) -> None:
    server = StandIn(place, verdict="passing trouble")
    with in_use(place), pytest.raises(StartupError, match=r"within 60 s: passing trouble"):
        Unit(place, server).ensure(server.patience)
    assert len(server.launches) == 2


def test_a_server_that_ends_without_a_word_gets_some_more_attempts(place: Home) -> None:
    server = StandIn(place, verdict="0")
    with in_use(place), pytest.raises(StartupError, match=r"standin ended.*: hello$"):
        Unit(place, server).ensure(Patience(60))
    assert len(server.launches) == 4


def test_a_killed_server_is_started_anew(place: Home) -> None:
    server = StandIn(place)
    unit = Unit(place, server)
    with in_use(place):
        unit.ensure(Patience(60))
        os.kill(noted(place), signal.SIGKILL)
        wait_until(lambda: not unit.watched(), "the watchdog outlived its server")
        unit.ensure(Patience(60))
        assert unit.state() == "ready"
    assert len(server.launches) == 2


def test_a_server_that_lost_its_watchdog_gets_another(place: Home) -> None:
    server = StandIn(place)
    unit = Unit(place, server)
    with in_use(place):
        unit.ensure(Patience(60))
        pid = noted(place)
        os.kill(watchdog_pid(place.path, "standin"), signal.SIGKILL)
        wait_until(lambda: not unit.watched(), "the lock outlived the watchdog")
        assert unit.state() == "ready"
        unit.ensure(Patience(60))
        assert unit.watched()
        assert unit.pid() == pid
    assert len(server.launches) == 1


def test_a_busy_server_that_lost_its_watchdog_is_not_started_twice(place: Home) -> None:
    unit = Unit(place, server := StandIn(place, busy=True))
    with in_use(place):
        with pytest.raises(StartupError):
            unit.ensure(Patience(0.01))
        os.kill(watchdog_pid(place.path, "standin"), signal.SIGKILL)
        with pytest.raises(StartupError):
            unit.ensure(Patience(0.01))
        server.work.unlink()
        unit.ensure(Patience(60))
        assert unit.watched()
    assert len(server.launches) == 1


def test_a_server_of_unknown_process_is_used_but_never_doubled(place: Home) -> None:
    """As in another container that shares the home: its pid means nothing here."""
    unit = Unit(place, server := StandIn(place))
    with in_use(place):
        unit.ensure(Patience(60))
        pid = noted(place)
        os.kill(watchdog_pid(place.path, "standin"), signal.SIGKILL)
        wait_until(lambda: not unit.watched(), "the lock outlived the watchdog")
        place.lock("standin.alive").write_text("1\n")
        unit.ensure(Patience(60))
        assert len(server.launches) == 1
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("note", ["", "0", "-1", "1", "rubbish", "99999999999999999999"])
def test_a_note_that_names_nobody_of_ours_is_ignored(place: Home, note: str) -> None:
    place.lock("standin.alive").write_text(note)
    with in_use(place):
        Unit(place, server := StandIn(place)).ensure(Patience(60))
    assert len(server.launches) == 1


def test_a_long_log_is_put_aside(place: Home) -> None:
    log = place.log("standin")
    log.write_bytes(b"x" * (4 * 1024 * 1024 + 1))
    with in_use(place):
        Unit(place, StandIn(place)).ensure(Patience(60))
    assert log.stat().st_size < 100
    assert log.with_suffix(".log.1").exists()


def test_giving_up_ends_the_wait_of_a_start(place: Home) -> None:
    patience = Patience(600)
    unit = Unit(place, StandIn(place, busy=True))
    timer = threading.Timer(0.2, patience.give_up)
    timer.start()
    with in_use(place), pytest.raises(StartupError):
        unit.ensure(patience)
    timer.join()
