from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import pytest

from agentcore.cli import serving
from agentcore.cli.serving import freeze_later, give_back_pages, lasting, with_room

# Large buffers come and go between small ones that stay.
PROGRAM = """
import sys
from pathlib import Path
from agentcore.cli.serving import return_large_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

if sys.argv[1:]:
    return_large_memory()
# The C library takes the size of what is freed first as what is usual.
bytearray(3_000_000)
content = b"x" * 1_200_000
before = resident()
small, large = [], []
for _ in range(34):
    large.append(bytearray(content))
    small.append(bytearray(content[:60_000]))
del large
print(resident() - before)
"""


def kept(*arguments: str) -> int:
    """MiB of 40 that were freed."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_large_buffers_are_given_back() -> None:
    assert kept("return") < 15
    assert kept() > 25


THREADS = """
import ctypes, sys, tempfile, threading
from pathlib import Path
from agentcore.cli.serving import share_one_heap
if sys.argv[1:]:
    share_one_heap()
meeting, kept = threading.Barrier(4), []
def work():
    kept.append([bytearray(2000) for _ in range(100)])
    meeting.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    file = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    print(Path(told.name).read_text().count("<heap nr"))
"""


def heaps(*arguments: str) -> int:
    command = [sys.executable, "-c", THREADS, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is another")
def test_threads_share_one_heap() -> None:
    assert heaps("one") == 1
    assert heaps() > 1


TIDYING = """
import asyncio
from pathlib import Path
from agentcore.cli.serving import give_back_pages

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

buffers = [bytearray(40_000) for _ in range(1000)]
# Every tenth stays, so that what is free lies between.
del buffers[::10], buffers[-1]
kept = buffers[::9]
before = resident()
del buffers
freed = resident()
give_back_pages(asyncio.new_event_loop())
print(before - freed, freed - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is another")
def test_what_a_burst_left_between_is_given_back() -> None:
    command = [sys.executable, "-c", TIDYING]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    by_itself, when_asked = map(int, told.split())
    assert when_asked > 20 > by_itself


async def test_pages_are_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "TIDY_SECONDS", 0.0)
    loop = asyncio.get_running_loop()
    begun: list[object] = []

    class Loop:
        def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
            begun.append(seconds)
            if len(begun) < 3:
                loop.call_later(seconds, call, *arguments)

    give_back_pages(cast("asyncio.AbstractEventLoop", Loop()))
    while len(begun) < 3:
        await asyncio.sleep(0)


async def test_what_is_loaded_behind_the_start_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "SETTLED_SECONDS", (0.0,))
    gc.unfreeze()
    freeze_later(asyncio.get_running_loop())
    try:
        while not gc.get_freeze_count():
            await asyncio.sleep(0)
    finally:
        gc.unfreeze()


def test_what_lasts_is_passed_over_and_what_is_young_looked_at_rarely() -> None:
    before = gc.get_threshold()
    try:
        with lasting():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == (serving.YOUNG, *before[1:])
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_room_on_the_stack_is_made_below_what_is_called() -> None:
    seen: list[int] = []

    def deep(left: int) -> None:
        seen.append(left)
        if left:
            deep(left - 1)

    with_room(lambda: deep(50))
    assert len(seen) == 51
    # Pointers; a piece of 16 KiB cannot hold them.
    assert with_room.__code__.co_stacksize * 8 > 2 * 16 * 1024
