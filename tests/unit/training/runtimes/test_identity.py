from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from agentcore.training.openenv.runtimes import identity


def test_a_process_is_known_by_its_birth() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as other:
        since = identity.born(other.pid)
        assert since
        assert identity.is_running(other.pid, since)
        # The number is somebody else's by now: leave it alone.
        assert not identity.send(other.pid, f"{since}0", signal.SIGKILL)
        assert not identity.send(other.pid, "", signal.SIGKILL)
        assert other.poll() is None
        assert identity.send(other.pid, since, signal.SIGKILL, group=True)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert identity.born(other.pid) == ""  # a zombie
        assert not identity.send(other.pid, since, signal.SIGKILL)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_numbers_without_a_process_are_nobody(pid: int) -> None:
    assert identity.born(pid) == ""
    assert not identity.is_running(pid, "")


def test_what_a_process_uses_is_read() -> None:
    own = identity.reading(os.getpid())
    assert own is not None
    assert own.seconds > 0
    assert own.memory > 10 * 1024 * 1024
    assert identity.reading(2**22 + 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_the_portable_look_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    by_proc = identity.reading(os.getpid())
    monkeypatch.setattr(identity, "_has_proc", lambda: False)
    assert by_proc is not None
    by_ps = identity.reading(os.getpid())
    if by_ps is None:
        pytest.skip("there is no ps to look with")
    assert abs(by_ps.seconds - by_proc.seconds) < 2
    assert by_ps.memory == pytest.approx(by_proc.memory, rel=0.2)
    assert identity.born(os.getpid())


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:07", 7), ("1:02:03.5", 3723.5), ("2-00:00:01", 172801)]
)
def test_processor_time_of_ps_is_read(text: str, seconds: float) -> None:
    assert identity.processor_seconds(text) == seconds
