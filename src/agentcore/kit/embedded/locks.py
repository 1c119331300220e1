"""Advisory file locks (flock): the kernel drops them with their holder, however it ends."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from agentcore.kit.errors import StartupError

Mode = Literal["shared", "exclusive"]
_FLAGS = {"shared": fcntl.LOCK_SH | fcntl.LOCK_NB, "exclusive": fcntl.LOCK_EX | fcntl.LOCK_NB}
_SHORTEST_STEP_SECONDS = 0.003
_LONGEST_STEP_SECONDS = 0.25


class Patience:
    """How long a blocking start may take; ``give_up`` ends it early from another thread."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._gave_up = threading.Event()
        self.look_closely()

    def give_up(self) -> None:
        self._gave_up.set()

    def look_closely(self) -> None:
        """Something was just begun that may be done soon: wait in short steps again."""
        self._since = time.monotonic()

    def step(self) -> float:
        """How long to wait before looking again: a tenth of the time waited so far."""
        now = time.monotonic()
        step = min(max((now - self._since) / 10, _SHORTEST_STEP_SECONDS), _LONGEST_STEP_SECONDS)
        return max(0.0, min(step, self._end - now))

    def is_over(self) -> bool:
        return self._gave_up.is_set() or time.monotonic() >= self._end

    def pause(self) -> bool:
        """Block for one step; False when there is no patience left."""
        self._gave_up.wait(self.step())
        return not self.is_over()


def try_lock(path: Path, mode: Mode) -> int | None:
    """The descriptor that holds the lock until closed, or None while another holder excludes it.

    Raises OSError when the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, _FLAGS[mode])
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def raise_lock(descriptor: int) -> bool:
    """Make a shared lock exclusive; False while another process shares it."""
    try:
        fcntl.flock(descriptor, _FLAGS["exclusive"])
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, mode: Mode, patience: Patience) -> Iterator[None]:
    """Hold the lock for the block. StartupError when patience ends before it is free."""
    while (descriptor := try_lock(path, mode)) is None:
        if not patience.pause():
            raise StartupError(
                f"{path} stayed locked for {patience.seconds:g} s",
                hint="another process is starting or stopping this home's servers",
            )
    try:
        yield
    finally:
        os.close(descriptor)
