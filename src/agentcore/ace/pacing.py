"""Background work on the event loop that takes little from those who wait for an answer.

What the work itself takes is measured step by step, between its awaits; what else the thread does
is the rest of its CPU time. While that is much, the work gets a small share of the time, and waits
for its turn outside of transactions, where it holds nothing. While it is little, it gets all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from agentcore.kit.clock import Clock

T = TypeVar("T")
# Of one core, while others are busy.
SHARE = 0.025
# So much of a core taken by others means that they are: what they get beside work that was not
# held back, too, so that the work cannot crowd out those who would hold it back.
CROWDED = 0.15
WINDOW = 0.05
# Who was busy a moment ago soon is again.
MEMORY = 1.0
PAUSE = 0.02
# What may be saved up: the work of some turns at once, and no more.
MOST_SAVED = 0.02
FIRST_GUESS = 0.01
FORGETTING = 0.2
# What the loop and the connections do for a step is not in it.
ALL_TOLD = 1.1


class Pace:
    """Turns for pieces of work that take a few milliseconds of CPU each. For one thread."""

    def __init__(self, clock: Clock, *, cpu: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._cpu = cpu
        self._line = asyncio.Lock()
        self._hurried = False
        self._own = 0.0
        self._typical = FIRST_GUESS
        self._saved = MOST_SAVED
        self._looked = (clock.monotonic(), cpu(), 0.0)
        self._crowded_until = self._looked[0]
        self._paid = self._looked[0]

    @property
    def own(self) -> float:
        """CPU seconds that the paced work has taken in all."""
        return self._own

    def hurry(self) -> None:
        """From now on it is more important that the work ends."""
        self._hurried = True

    async def turn(self) -> None:
        """Return when the next piece may begin."""
        # One looks again and again, the others stand behind it: looking costs, too.
        async with self._line:
            while not self.may_begin():
                await self._clock.sleep(PAUSE)
            # Others that wait see it taken; what it really took is settled when it is done.
            self._saved -= self._typical

    async def counted(self, work: Coroutine[Any, Any, T]) -> T:
        """``work``, with the CPU time of its steps on its account."""
        steps = _Steps(work, self)
        try:
            return await steps
        finally:
            self._saved += self._typical - steps.taken
            self._typical += FORGETTING * (steps.taken - self._typical)

    def step(self, steps: _Steps[T], take: Callable[[], Any]) -> Any:
        began = self._cpu()
        try:
            return take()
        finally:
            taken = (self._cpu() - began) * ALL_TOLD
            steps.taken += taken
            self._own += taken

    def may_begin(self) -> bool:
        """Whether :meth:`turn` would return at once."""
        now = self._clock.monotonic()
        self._look(now)
        if self._hurried:
            return True
        # Alone it may have all of a core, and no more at once than it takes to see that it is not.
        share = SHARE if now < self._crowded_until else 1.0
        self._saved = min(MOST_SAVED, self._saved + share * (now - self._paid))
        self._paid = now
        return self._saved > 0

    def _look(self, now: float) -> None:
        since, used_then, own_then = self._looked
        if now - since < WINDOW:
            return
        used = self._cpu()
        others = (used - used_then) - (self._own - own_then)
        if others > CROWDED * (now - since):
            self._crowded_until = now + MEMORY
        self._looked = (now, used, self._own)


class _Steps(Generator[Any, Any, T]):
    """A coroutine's steps, passed on as they are, and what they took."""

    def __init__(self, work: Coroutine[Any, Any, T], pace: Pace) -> None:
        self._work = work
        self._pace = pace
        self.taken = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        return self._pace.step(self, partial(self._work.send, value))

    def throw(self, *error: Any) -> Any:
        return self._pace.step(self, partial(self._work.throw, *error))

    def close(self) -> None:
        self._work.close()
