"""Background tasks with an owner: restarted with backoff, never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Literal, Self

import structlog

from agentcore.kit.clock import SYSTEM_CLOCK, Clock

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0
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
        backoff = FIRST_BACKOFF
        while True:
            began = self._clock.monotonic()
            health.state = "running"
            try:
                await run()
            except Exception as error:
                if self._clock.monotonic() - began > RECOVERED_AFTER:
                    backoff = FIRST_BACKOFF
                health.state, health.error = "restarting", type(error).__name__
                health.restarts += 1
                log.exception("background task died", task=name, restart_in=backoff)
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
            else:
                health.state = "finished"
                return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", task=task.get_name(), exc_info=error)
