"""Stopping without losing anybody: what is being answered is finished, what is new is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from agentcore.kit.access import Refuse
from agentcore.kit.errors import RPC_UNAVAILABLE, AgentCoreError
from agentcore.kit.outgoing import outgoing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

RETRY_AFTER = 5
GLANCE_SECONDS = 0.1
# How long requests that are cut off may take to say so.
FAREWELL_SECONDS = 1.0


class Draining(AgentCoreError):
    code, http_status, rpc_code, retryable = "draining", 503, RPC_UNAVAILABLE, True


class Drained(Protocol):
    """Something beside requests that has to end in an orderly way."""

    def stop(self) -> Coroutine[Any, Any, None]:
        """End it, and wait until it has; may be cancelled."""
        ...


class Drain:
    """Counts the HTTP requests in flight; shared by the middleware and whoever stops the server.

    ``parts`` are stopped behind the requests.
    """

    def __init__(self, parts: Sequence[Drained] = ()) -> None:
        self._parts = parts
        self._in_flight = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        # Set while draining, once nobody is left: nobody waits for it before.
        self._idle = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.draining = False
        self.over = False

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when draining begins: to end what would not end of itself."""
        self._listeners.append(listener)

    def entered(self, task: asyncio.Task[Any] | None = None) -> None:
        """A request begins; ``task`` is cancelled when its time is up."""
        self._in_flight += 1
        if task is not None:
            self._tasks.add(task)

    def left(self, task: asyncio.Task[Any] | None = None) -> None:
        self._in_flight -= 1
        if task is not None:
            self._tasks.discard(task)
        if self.draining and self._in_flight == 0:
            self._idle.set()

    async def drain(self, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Refuse new requests, wait for those in flight.

        False when they took longer than ``seconds``, or somebody was in a ``hurry``: what then
        still runs is cut off.
        """
        self.draining = True
        if self._in_flight == 0:
            self._idle.set()
        for listener in self._listeners:
            listener()
        finished = await self._finished(seconds, hurry)
        if not finished:
            await self._cut()
        return finished

    async def _finished(self, seconds: float, hurry: Callable[[], bool]) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._idle.is_set() and not hurry():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(GLANCE_SECONDS):
                            await self._idle.wait()
                return await self._stop_parts(hurry) and self._idle.is_set()
        return False

    async def _cut(self) -> None:
        self.over = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=FAREWELL_SECONDS)

    async def _stop_parts(self, hurry: Callable[[], bool]) -> bool:
        async with asyncio.TaskGroup() as group:
            stopping = {group.create_task(part.stop()) for part in self._parts}
            while stopping and not hurry():
                _, stopping = await asyncio.wait(stopping, timeout=GLANCE_SECONDS)
            for task in stopping:
                task.cancel()
        return not stopping


class DrainGate:
    """ASGI middleware; sessions (WebSockets) stay open, because running episodes need them."""

    def __init__(self, app: ASGIApp, *, drain: Drain, refuse: Refuse) -> None:
        self._app = app
        self._drain = drain
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        if self._drain.draining:
            error = Draining(
                "this replica is shutting down",
                hint="repeat the request; another replica answers",
                retry_after=RETRY_AFTER,
            )
            await self._refuse(scope, receive, send, error)
            return
        task = asyncio.current_task()
        self._drain.entered(task)
        out, send = outgoing(scope, send)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._drain.over:
                raise
            # An answer that has begun can only end early, which its length or encoding tells.
            if not out.status:
                await self._refuse(scope, receive, send, _stopped())
        finally:
            self._drain.left(task)


def _stopped() -> Draining:
    return Draining(
        "this replica stopped before it had answered; whether it did what was asked is not known",
        hint="repeat the request, under the same id where it has one",
        retry_after=RETRY_AFTER,
    )
