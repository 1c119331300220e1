"""Heads of requests that do not end, or come too slowly, cost their sender the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from agentcore.cli.request_heads import LARGEST_HEAD
from agentcore.cli.upgrades import PlainHttp
from tests.fakes.asgi import Wire, connected

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Hasty(PlainHttp):
    head_seconds = 0.01


class Caller:
    def __init__(self, protocol: PlainHttp, wire: Wire) -> None:
        self._protocol = protocol
        self._wire = wire

    async def says(self, data: bytes) -> None:
        self._protocol.data_received(data)
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def heard(self) -> bytes:
        return self._wire.written

    @property
    def is_gone(self) -> bool:
        return self._wire.closed

    async def leaves(self) -> None:
        while not self.is_gone:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def calling(
    kind: type[PlainHttp] = PlainHttp, answered: asyncio.Event | None = None
) -> AsyncIterator[Caller]:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if answered is not None:
            await answered.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with connected(application, kind) as (protocol, wire):
        yield Caller(protocol, wire)


async def test_a_field_without_end_is_refused() -> None:
    async with calling() as caller:
        await caller.says(ASKED + b"X-A: ")
        for _ in range(LARGEST_HEAD // 4096 + 1):
            await caller.says(b"a" * 4096)
        assert caller.heard.startswith(b"HTTP/1.1 431 ")
        assert caller.is_gone


async def test_each_request_has_a_head_of_its_own() -> None:
    async with calling() as caller:
        for _ in range(3):
            await caller.says(ASKED + b"X-A: " + b"a" * (LARGEST_HEAD // 2))
            await caller.says(b"\r\n\r\n")
        assert caller.heard.count(b"HTTP/1.1 204 ") == 3
        assert not caller.is_gone


async def test_a_body_is_no_head() -> None:
    async with calling() as caller:
        await caller.says(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (2 * LARGEST_HEAD))
        for _ in range(2 * LARGEST_HEAD // 4096):
            await caller.says(b"a" * 4096)
        assert caller.heard.startswith(b"HTTP/1.1 204 ")
        assert not caller.is_gone


async def test_a_head_that_does_not_end_in_time_is_refused() -> None:
    async with calling(Hasty) as caller:
        await caller.says(ASKED)
        await caller.leaves()
        assert caller.heard.startswith(b"HTTP/1.1 408 ")


async def test_who_asks_nothing_is_told_nothing() -> None:
    async with calling(Hasty) as caller:
        await caller.leaves()
        assert caller.heard == b""


async def test_nothing_is_said_amid_an_answer() -> None:
    answered = asyncio.Event()
    async with calling(Hasty, answered) as caller:
        await caller.says(ASKED + b"\r\n" + ASKED)
        await asyncio.sleep(0.05)
        assert (caller.heard, caller.is_gone) == (b"", False)
        answered.set()
        await caller.leaves()
        assert caller.heard.startswith(b"HTTP/1.1 204 ")
        assert b"HTTP/1.1 408 " in caller.heard
