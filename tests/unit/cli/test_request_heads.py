"""Requests that do not end, or come too slowly, cost their sender the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from agentcore.cli.request_heads import LARGEST_HEAD, LEAST_BYTES
from agentcore.cli.upgrades import PlainHttp
from tests.fakes.asgi import Wire, connected

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n"


POSTED = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"


class Hasty(PlainHttp):
    head_seconds = 0.01
    body_seconds = 0.01


class Patient(PlainHttp):
    """Its time is over when somebody says so."""

    @property
    def is_timed(self) -> bool:
        return self._body_timer is not None

    def time_is_over(self) -> None:
        self._slow()


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

    @property
    def is_timed(self) -> bool:
        assert isinstance(self._protocol, Patient)
        return self._protocol.is_timed

    def time_is_over(self) -> None:
        assert isinstance(self._protocol, Patient)
        self._protocol.time_is_over()

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
        try:
            yield Caller(protocol, wire)
        finally:
            if answered is not None:
                answered.set()


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
        await caller.says(POSTED % (2 * LARGEST_HEAD))
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


async def test_a_body_that_drips_is_refused() -> None:
    answered = asyncio.Event()
    async with calling(Hasty, answered) as caller:
        await caller.says(POSTED % 9999 + b"a")
        while not caller.is_gone:
            await caller.says(b"a" if caller.heard == b"" else b"")
            await asyncio.sleep(0.004)
        assert caller.heard.startswith(b"HTTP/1.1 408 ")


async def test_who_was_answered_is_told_nothing_more_of_its_body() -> None:
    async with calling(Patient) as caller:
        await caller.says(POSTED % 9 + b"a")
        assert caller.heard.startswith(b"HTTP/1.1 204 ")
        caller.time_is_over()
        await caller.leaves()
        assert caller.heard.count(b"HTTP/1.1 ") == 1


async def test_a_large_body_may_take_its_time() -> None:
    async with calling(Patient, asyncio.Event()) as caller:
        await caller.says(POSTED % (3 * LEAST_BYTES))
        for _ in range(2):
            await caller.says(b"a" * LEAST_BYTES)
            caller.time_is_over()
            assert not caller.is_gone
        caller.time_is_over()
        assert caller.is_gone


async def test_who_is_not_read_is_not_slow() -> None:
    async with calling(Patient, asyncio.Event()) as caller:
        await caller.says(POSTED % 10_000_000)
        await caller.says(b"a" * 100_000)
        for _ in range(3):
            caller.time_is_over()
        assert not caller.is_gone


async def test_nobody_is_held_to_the_pace_of_a_body_that_is_whole() -> None:
    async with calling(Patient, asyncio.Event()) as caller:
        await caller.says(POSTED % 2 + b"a")
        assert caller.is_timed
        await caller.says(b"a")
        assert not caller.is_timed
