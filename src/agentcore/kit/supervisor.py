"""Background tasks with an owner: restarted with backoff, never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Literal, Self

import structlog

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import AgentCoreError

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0
# Nobody shall wait long for a database that is back.
LONGEST_PAUSE = 5.0
CANCEL_AGAIN = 1.0
# A task that lived this long had recovered: its next failure starts the backoff anew.
RECOVERED_AFTER = 60.0

log = structlog.get_logger()


@dataclass(slots=True)
class TaskHealth:
    """``error`` is a class: readiness tells it to everybody, and its text is for the log."""

    state: Literal["running", "restarting", "finished"] = "running"
    restarts: int = 0
    error: str = ""

    @property
    def alive(self) -> bool:
        return self.state != "restarting"


class Supervisor:
    """Owns every background task of the process; leaving the context cancels and awaits them."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._health: dict[str, TaskHealth] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Keep ``run`` running under ``name`` (unique); a normal return ends it."""
        if name in self._health:
            raise ValueError(f"a background task named {name!r} is already running")
        self._health[name] = TaskHealth()
        return self.spawn(name, self._keep(name, run))

    async def end(self, name: str) -> None:
        """Stop what ``start`` keeps running under ``name``; the name is free again."""
        await self.cancel(*(task for task in self._tasks if task.get_name() == name))
        self._health.pop(name, None)

    def spawn(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` once; a failure is logged and stays with the task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def health(self) -> dict[str, TaskHealth]:
        return dict(self._health)

    async def stop(self) -> None:
        """Cancel all and wait."""
        await self.cancel(*self._tasks)

    async def cancel(self, *tasks: asyncio.Task[None]) -> None:
        """Cancel these and wait; one that swallows it is cancelled again."""
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN)

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        health = self._health[name]
        backoff, waiting = FIRST_BACKOFF, False
        while True:
            began = self._clock.monotonic()
            health.state = "running"
            try:
                await run()
            except Exception as error:
                if self._clock.monotonic() - began > RECOVERED_AFTER:
                    backoff, waiting = FIRST_BACKOFF, False
                fault = _passing(error)
                health.state, health.error = "restarting", type(fault or error).__name__
                health.restarts += 1
                if fault is None:
                    log.exception("background task died", task=name, restart_in=backoff)
                elif not waiting:
                    log.warning("background task waits", task=name, reason=fault.detail)
                waiting = fault is not None
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_PAUSE if waiting else LONGEST_BACKOFF)
            else:
                health.state = "finished"
                return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if (fault := _passing(error)) is not None:
            log.warning("background work failed", task=task.get_name(), reason=fault.detail)
        else:
            log.error("background work failed", task=task.get_name(), exc_info=error)


def _passing(error: BaseException) -> AgentCoreError | None:
    """A fault that goes by itself, as of a database that is away, where there is no other."""
    if isinstance(error, BaseExceptionGroup):
        faults = [_passing(each) for each in error.exceptions]
        return None if None in faults else faults[0]
    return error if isinstance(error, AgentCoreError) and error.retryable else None
