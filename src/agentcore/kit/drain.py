"""Stopping without losing anybody: what is being answered is finished, what is new is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from agentcore.kit.access import Refuse
from agentcore.kit.errors import RPC_UNAVAILABLE, AgentCoreError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

RETRY_AFTER = 5
GLANCE_SECONDS = 0.1


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
        self._idle = asyncio.Event()
        self._idle.set()
        self._listeners: list[Callable[[], None]] = []
        self.draining = False

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when draining begins: to end what would not end of itself."""
        self._listeners.append(listener)

    def entered(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def left(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def drain(self, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Refuse new requests, wait for those in flight.

        False when they took longer than ``seconds``, or somebody was in a ``hurry``.
        """
        self.draining = True
        for listener in self._listeners:
            listener()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._idle.is_set() and not hurry():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(GLANCE_SECONDS):
                            await self._idle.wait()
                return await self._stop_parts(hurry) and self._idle.is_set()
        return False

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
        self._drain.entered()
        try:
            await self._app(scope, receive, send)
        finally:
            self._drain.left()
