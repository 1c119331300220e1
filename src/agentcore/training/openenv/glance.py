"""A look at a socket before the event loop sleeps on it (docs/adr/0026-a-look-before-sleep.md).

The answer of an environment nearby is often there within some microseconds, and then the way
through the event loop, to sleep, to be woken and to wake the caller, is the longest part of a step.
Whoever waits alone looks for the answer instead, as long as looking pays.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

LONGEST_SECONDS = 150e-6
# Other tasks, timers and cancellations get their turn: when the event loop brought nothing for so
# long, the next answer comes by it, whichever client asks and whatever the caller did meanwhile.
TURN_SECONDS = 1e-3
# A look that was in vain is not repeated for that many answers; the number doubles each time.
MOST_PASSED_OVER = 1024


class Patience:
    """When to look. Pure."""

    def __init__(self) -> None:
        self._pause = 0
        self._to_pass_over = 0

    def looks(self) -> bool:
        """Whether to look for this answer; then ``found`` tells how many bytes that brought."""
        if not self._to_pass_over:
            return True
        self._to_pass_over -= 1
        return False

    def found(self, size: int) -> None:
        if size:
            self._pause = 0
        else:
            self._to_pass_over = self._pause = min(2 * self._pause + 1, MOST_PASSED_OVER)


class Waiting:
    """Who waits for an answer in one event loop, as far as this module must know."""

    def __init__(self) -> None:
        # Not kept alive here: it holds its answer, and the loop that is the key to this.
        self.latest: Callable[[], asyncio.Future[bytes] | None] = lambda: None
        # When the loop brought something last.
        self.turned = float("-inf")


_WAITING: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting] = WeakKeyDictionary()


class Glance:
    """Of one socket, whose transport the event loop reads when nobody looks."""

    def __init__(
        self,
        transport: asyncio.Transport,
        waiting: Waiting,
        descriptor: int,
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._waiting = waiting
        self._descriptor = descriptor
        self._now = now
        self._alone = False
        self._patience = Patience()

    @classmethod
    def at(
        cls, transport: asyncio.Transport, now: Callable[[], float] = time.perf_counter
    ) -> Glance | None:
        """None where the loop reads in another way than the selector loop, or reads TLS."""
        loop = asyncio.get_running_loop()
        plain = transport.get_extra_info("ssl_object") is None
        if not plain or not isinstance(loop, asyncio.SelectorEventLoop) or not hasattr(os, "readv"):
            return None
        descriptor = transport.get_extra_info("socket").fileno()
        return cls(transport, _WAITING.setdefault(loop, Waiting()), descriptor, now)

    def turned(self) -> None:
        """The event loop itself brought something, so that all others had their turn."""
        self._waiting.turned = self._now()

    def expect(self, answer: asyncio.Future[bytes]) -> None:
        """``answer`` is asked for: note it, and whether others of this loop wait as well."""
        before = self._waiting.latest()
        self._waiting.latest = ref(answer)
        self._alone = before is None or before.done()

    def read(self, answer: asyncio.Future[bytes], buffer: bytearray) -> int:
        """Bytes that came for ``answer`` and are in ``buffer``; 0: the event loop must wait."""
        if not self._alone or self._waiting.latest() is not answer:
            return 0
        began = self._now()
        if began - self._waiting.turned > TURN_SECONDS or not self._patience.looks():
            return 0
        closing = self._transport.is_closing()
        size = 0 if closing else self._look([buffer], began + LONGEST_SECONDS)
        self._patience.found(size)
        return size

    def _look(self, buffers: list[bytearray], end: float) -> int:
        while True:
            try:
                return os.readv(self._descriptor, buffers)
            except BlockingIOError:
                if self._now() >= end:
                    return 0
            except OSError:
                # The loop finds the same, or the end, and tells it.
                return 0
