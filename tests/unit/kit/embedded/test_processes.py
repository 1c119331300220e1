from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore.kit.embedded import processes


def test_a_process_is_known_by_its_exact_words() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "-D", "/a b"], stdin=-1) as other:
        assert processes.runs(other.pid, "-D", "/a b")
        assert not processes.runs(other.pid, "-D", "/a")
        assert processes.exists(other.pid)
        other.kill()


def test_a_new_program_is_known_as_soon_as_it_is_there() -> None:
    for _ in range(30):
        with subprocess.Popen(["/bin/sleep", "60"]) as other:
            assert processes.runs(other.pid, "/bin/sleep", "60")
            other.kill()


def test_a_zombie_does_not_run() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert processes.exists(other.pid)
        assert not processes.runs(other.pid, "/bin/sleep")
        assert not processes.runs(other.pid)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**40])
def test_a_number_that_no_process_has_does_not_run(pid: int) -> None:
    assert not processes.runs(pid)


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps to look with")
def test_the_portable_look_agrees_with_proc() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        for look in (processes.runs_by_proc, processes.runs_by_ps):
            assert look(other.pid, ("/bin/sleep", "60"))
            assert not look(other.pid, ("/bin/sleep", "6"))
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.runs_by_ps(other.pid, ())
    assert not processes.runs_by_ps(2**22 + 1, ())


@pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")
def test_a_pidfd_stays_with_one_process() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        descriptor = processes.open_pidfd(other.pid)
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
    assert processes.open_pidfd(2**22 + 1) == -1


def test_who_listens_on_a_socket_is_known_to_the_kernel(tmp_path: Path) -> None:
    assert processes.listener(tmp_path / "absent") is None
    with socket.socket(socket.AF_UNIX) as mine:
        mine.bind(str(tmp_path / "s"))
        assert processes.listener(tmp_path / "s") is None
        mine.listen()
        assert processes.listener(tmp_path / "s") == os.getpid()
