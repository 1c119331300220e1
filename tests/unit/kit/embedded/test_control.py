from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from agentcore.kit.embedded import open_embedded, status, stop
from agentcore.kit.embedded.layout import Home
from agentcore.kit.embedded.locks import Patience, locked
from agentcore.kit.embedded.unit import Unit
from agentcore.kit.errors import Conflict, StartupError
from tests.unit.kit.embedded.homes import (
    client,
    processes_of,
    server_pid,
    wait_until,
    watchdog_pid,
)


def test_a_home_that_was_never_used_has_nothing_to_show_or_stop(home: Path) -> None:
    assert status(home) == ()
    stop(home)
    assert not home.exists()


async def test_what_runs_is_shown_and_not_stopped_while_in_use(home: Path) -> None:
    async with open_embedded(home, database=False) as servers:
        postgres, valkey = status(home)
        assert (postgres.name, postgres.state, postgres.pid) == ("postgres", "stopped", None)
        assert (valkey.name, valkey.state, valkey.in_use) == ("valkey", "ready", True)
        assert valkey.pid == server_pid(home, "valkey")
        assert valkey.url == servers.redis_url
        assert str(valkey) == f"valkey: ready, in use, pid {valkey.pid}, {valkey.url}"
        assert str(postgres) == "postgres: stopped"
        with pytest.raises(Conflict, match=f"the servers of {home} are in use"):
            stop(home)
        assert status(home)[1].state == "ready"
    stop(home)
    assert {server.state for server in status(home)} == {"stopped"}


def test_a_server_that_nobody_watches_or_uses_is_shown_and_stopped(home: Path) -> None:
    with client(home, database=False) as other:
        other.answer()
        guard = watchdog_pid(home, "valkey")
        os.kill(guard, signal.SIGKILL)
        other.kill()
    shown = status(home)[1]
    assert (shown.state, shown.in_use) == ("ready", False)
    stop(home)
    assert status(home)[1].state == "stopped"
    wait_until(lambda: not processes_of(home), "a process was left behind")


def test_a_watchdog_that_dies_just_then_leaves_no_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(home, database=False) as other:
        other.answer()
        os.kill(watchdog_pid(home, "valkey"), signal.SIGKILL)
        other.kill()
    watch_orphan = Unit.watch_orphan
    with ExitStack() as dying:
        dying.enter_context(locked(Home(home).lock("valkey.alive"), "exclusive", Patience(60)))

        def last_look(unit: Unit, patience: Patience) -> None:
            watch_orphan(unit, patience)
            if unit.name == "valkey":
                dying.close()

        monkeypatch.setattr(Unit, "watch_orphan", last_look)
        stop(home)
    assert status(home)[1].state == "stopped"


def test_a_server_that_does_not_stop_in_time_is_one_line(home: Path) -> None:
    with client(home, database=False) as other:
        other.answer()
        pid = server_pid(home, "valkey")
        os.kill(pid, signal.SIGSTOP)
        other.kill()
    with pytest.raises(StartupError, match=r"did not stop within 0.2 s"):
        stop(home, seconds=0.2)
    os.kill(pid, signal.SIGCONT)
    stop(home)


def test_looking_does_not_disturb(home: Path) -> None:
    """A look takes the locks for microseconds; clients and watchdogs must live through it."""
    with client(home, database=False, keep_alive=True) as other:
        other.answer()
        pid = server_pid(home, "valkey")
        for _ in range(200):
            assert status(home)[1].state == "ready"
        assert server_pid(home, "valkey") == pid
