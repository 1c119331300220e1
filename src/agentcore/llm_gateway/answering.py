"""Answers on their way to a caller who may leave, or stop reading, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.asgi import STREAM_HEADERS, Header, Message, Receive, Send
from agentcore.llm_gateway.dialects.port import Format
from agentcore.llm_gateway.providers.routed import Answer, Streamed

# How often a reader is looked at within its time.
GLANCES = 4


class CallerGone(Exception):
    """The client closed the connection before its answer was complete, or no longer reads it."""


class Watch:
    """Waits for the caller to leave, once the answer has taken a while."""

    __slots__ = ("_group", "_receive", "_task")

    def __init__(self, group: asyncio.TaskGroup, receive: Receive) -> None:
        self._group = group
        self._receive = receive
        self._task: asyncio.Task[NoReturn] | None = None

    def begin(self) -> None:
        self._task = self._group.create_task(self._leaving())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _leaving(self) -> NoReturn:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise CallerGone


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
