from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from agentcore.kit.embedded.locks import Patience, locked, raise_lock, try_lock
from agentcore.kit.errors import StartupError


def test_shared_holders_keep_an_exclusive_one_out(tmp_path: Path) -> None:
    first, second = (try_lock(tmp_path / "lock", "shared") for _ in range(2))
    assert first is not None
    assert second is not None
    assert try_lock(tmp_path / "lock", "exclusive") is None
    os.close(first)
    os.close(second)
    last = try_lock(tmp_path / "lock", "exclusive")
    assert last is not None
    assert try_lock(tmp_path / "lock", "shared") is None
    os.close(last)


def test_a_shared_lock_can_be_raised_by_its_only_holder(tmp_path: Path) -> None:
    first, second = (try_lock(tmp_path / "lock", "shared") for _ in range(2))
    assert first is not None
    assert second is not None
    assert not raise_lock(second)
    os.close(first)
    assert raise_lock(second)
    os.close(second)


def test_a_lock_file_is_private_and_not_inherited(tmp_path: Path) -> None:
    descriptor = try_lock(tmp_path / "lock", "shared")
    assert descriptor is not None
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    held = try_lock(tmp_path / "lock", "exclusive")
    assert held is not None
    timer = threading.Timer(0.05, os.close, (held,))
    timer.start()
    with locked(tmp_path / "lock", "exclusive", Patience(60)):
        assert try_lock(tmp_path / "lock", "shared") is None
    timer.join()
    free = try_lock(tmp_path / "lock", "shared")
    assert free is not None
    os.close(free)


def test_patience_ends_with_one_line_that_names_the_file(tmp_path: Path) -> None:
    held = try_lock(tmp_path / "lock", "exclusive")
    assert held is not None
    with (
        pytest.raises(StartupError, match=r"lock stayed locked for 0.05 s"),
        locked(tmp_path / "lock", "shared", Patience(0.05)),
    ):
        pytest.fail("the lock is held by another")
    os.close(held)


def test_giving_up_from_another_thread_ends_a_long_wait() -> None:
    patience = Patience(600)
    timer = threading.Timer(0.02, patience.give_up)
    timer.start()
    started = time.monotonic()
    while patience.pause():
        assert time.monotonic() - started < 60
    timer.join()


def test_steps_grow_with_the_wait_and_start_small_again() -> None:
    patience = Patience(600)
    assert patience.step() < 0.01
    while patience.step() < 0.005:
        patience.pause()
    patience.look_closely()
    assert patience.step() < 0.005
