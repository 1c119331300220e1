"""Threads for environments that compute for long, which nothing can stop.

Who cancels a call leaves its thread computing, perhaps for ever. So the threads are daemons of this
module's own: those of executors are waited for when the process ends.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import structlog

from agentcore.kit.errors import AgentCoreError
from agentcore.training.openenv.errors import OpenEnvError, StepStillRunning

T = TypeVar("T")
MOST_IDLE = 16

log = structlog.get_logger()


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="environment", daemon=True)
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            call()
            # A thread that waits must not hold what it last computed for.
            del call


class EnvironmentThreads:
    """As many as compute at once, and some that wait for the next call."""

    def __init__(self) -> None:
        self._idle: list[_Thread] = []
        weakref.finalize(self, _end, self._idle)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Compute ``work`` from now on; its result, or the ``AgentCoreError`` that it raises.

        To cancel the future stops nothing: it is done when ``work`` is.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        thread = self._idle.pop() if self._idle else _Thread()

        def tell(outcome: T | AgentCoreError) -> None:
            # The loop may be gone, and with it whoever wanted to know.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._told, thread, done, outcome)

        thread.calls.put(partial(copy_context().run, _compute, work, tell))
        return done

    def _told(self, thread: _Thread, done: asyncio.Future[T], outcome: T | AgentCoreError) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(thread)
        else:
            thread.calls.put(None)
        if done.cancelled():
            return
        if isinstance(outcome, AgentCoreError):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)


def _end(idle: Sequence[_Thread]) -> None:
    for thread in idle:
        thread.calls.put(None)


def _compute(work: Callable[[], T], tell: Callable[[T | AgentCoreError], None]) -> None:
    outcome: T | AgentCoreError
    try:
        outcome = work()
    except AgentCoreError as error:
        outcome = error
    except BaseException as error:
        # As SystemExit: in the event loop it would end the server.
        log.exception("an environment broke out of its call")
        outcome = OpenEnvError(f"the environment broke out of its call: {type(error).__name__}")
    tell(outcome)


class EnvironmentCalls:
    """The calls of one environment: each in a thread, when it is its turn.

    ``left_running`` is told when a call computes on that nobody waits for any more, and what it
    returns when that has ended. All of it happens in the event loop.
    """

    def __init__(
        self,
        threads: EnvironmentThreads,
        turns: asyncio.Semaphore,
        left_running: Callable[[], Callable[[], None]],
    ) -> None:
        self._threads = threads
        self._turns = turns
        self._left_running = left_running
        self._current: asyncio.Future[Any] | None = None
        # Whether a call that was cut computes on.
        self.cut = False

    def refuse_cut(self) -> None:
        """Raises ``StepStillRunning``: the environment is not to be touched meanwhile."""
        if self.cut:
            raise StepStillRunning(
                "a call that was cut off still computes in this session",
                hint="try again when it has ended, or open another session",
            )

    async def run(self, work: Callable[[], T], refuse: Callable[[], None]) -> T:
        """The result of ``work``, unless ``refuse`` raises when its turn comes.

        Cancelled before its turn it is not computed at all; later it is computed to its end.
        """
        async with self._turns:
            refuse()
            self.refuse_cut()
            current = self._current = self._threads.begin(work)
            try:
                return await asyncio.shield(current)
            except asyncio.CancelledError:
                if not current.done():
                    self._leave(current)
                raise

    async def close(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Compute ``work``, then call ``then``: now, or without waiting behind what computes."""
        current = self._current
        if current is not None and not current.done():
            current.add_done_callback(lambda _: self._last(work, then))
        else:
            await asyncio.shield(self._last(work, then))

    def _last(self, work: Callable[[], None], then: Callable[[], None]) -> asyncio.Future[None]:
        done = self._threads.begin(work)
        done.add_done_callback(lambda _: then())
        return done

    def _leave(self, current: asyncio.Future[Any]) -> None:
        self.cut, ended = True, self._left_running()

        def over(_: object) -> None:
            self.cut = False
            ended()

        current.add_done_callback(over)
