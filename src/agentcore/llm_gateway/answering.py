"""Answers on their way to a caller who may leave, or stop reading, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.asgi import STREAM_HEADERS, Header, Message, Receive, Send
from agentcore.llm_gateway.dialects.port import Format
from agentcore.llm_gateway.providers.routed import Answer, Streamed

# A caller that leaves earlier is noticed after once to twice this time.
WATCH_AFTER_SECONDS = 0.03
# How often a reader is looked at within its time.
GLANCES = 4


class CallerGone(Exception):
    """The client no longer reads its answer."""


class Watch:
    """Of one caller; ``gone`` when it has left, and the task that answers is cancelled for it."""

    __slots__ = ("_looking", "_receive", "_task", "gone")

    def __init__(self, receive: Receive, task: asyncio.Task[Any]) -> None:
        self._receive = receive
        self._task = task
        self._looking: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        self._looking = self._task.get_loop().create_task(self._look())

    def end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def took_it_back(self) -> bool:
        """Whether the task was cancelled for this alone; it may then go on."""
        return self.gone and self._task.uncancel() == 0

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()


class Watches:
    """Looks out for callers that leave while their answers take long.

    A task and a timer for every quick answer would cost more than the answer.
    """

    def __init__(self) -> None:
        # Since the last glance, and since the one before.
        self._young: set[Watch] = set()
        self._older: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def over(self, answering: Coroutine[None, None, None], receive: Receive) -> None:
        """Await ``answering``; when the caller leaves, it is cancelled, and nobody is told."""
        watch = Watch(receive, _this_task())
        self._young.add(watch)
        if self._timer is None:
            self._arm()
        try:
            await answering
        except asyncio.CancelledError:
            if not watch.took_it_back():
                raise
        finally:
            self._young.discard(watch)
            self._older.discard(watch)
            watch.end()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        for watch in self._older:
            watch.begin()
        self._older, self._young = self._young, set()
        if self._older:
            self._arm()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task runs")
    return task


class Reader:
    """A caller that counts as gone when it takes nothing of its stream for ``seconds``.

    Looked at now and then: a timer of its own for every part would cost more than the part.
    """

    __slots__ = ("_limit", "_loop", "_seconds", "_send", "_since", "_timer")

    def __init__(self, send: Send, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._seconds = seconds
        self._since: float | None = None
        self._limit = asyncio.timeout(None)
        self._timer = self._loop.call_later(seconds / GLANCES, self._look)

    async def send(self, message: Message) -> None:
        self._since = self._loop.time()
        await self._send(message)
        self._since = None

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        try:
            async with self._limit:
                yield
        except TimeoutError as exc:
            raise CallerGone from exc
        finally:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._since is not None and now - self._since >= self._seconds:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._seconds / GLANCES, self._look)


async def relay(answer: Answer, stream: Streamed, form: Format, send: Send) -> None:
    """Forward a stream. After its begin a failure can only be told as an event, without an end."""
    try:
        headers = [*STREAM_HEADERS, *told(answer)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while block := await stream.next():
                await send({"type": "http.response.body", "body": block, "more_body": True})
        except AgentCoreError as error:
            event = form.error_event(error)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        stream.close()


def told(answer: Answer) -> list[Header]:
    """What is known about the call when its answer begins."""
    headers = [
        (b"x-agentcore-provider", answer.provider.encode()),
        (b"x-agentcore-reason", answer.reason.encode()),
        (b"x-agentcore-request-id", str(answer.id).encode()),
    ]
    if answer.cached:
        headers.append((b"x-agentcore-cache", b"hit"))
    if answer.cost is not None:
        headers.append((b"x-agentcore-cost-usd", format(answer.cost, "f").encode()))
    headers += [(name.encode(), value.encode()) for name, value in answer.limits]
    return headers
