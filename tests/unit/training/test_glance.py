"""Looking at a socket beside the event loop: only alone, only while it pays, never for long."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentcore.training.openenv.glance import MOST_PASSED_OVER, TURN_SECONDS, Glance, Patience

BUFFER = bytearray(64)


class Reader(asyncio.BufferedProtocol):
    """Keeps what the event loop reads."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = asyncio.get_running_loop().create_future()
        self._buffer = bytearray(64)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self._buffer[:nbytes]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Watch:
    """A clock that goes by a microsecond when it is looked at, however long that took."""

    seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1e-6
        return self.seconds


WATCH = Watch()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Glance, socket.socket, Reader, asyncio.Transport]]:
    here, there = socket.socketpair()
    with there:
        loop = asyncio.get_running_loop()
        transport, reader = await loop.create_connection(Reader, sock=here)
        glance = Glance.at(transport, WATCH)
        assert glance is not None
        glance.turned()
        # Another test of this loop may have left an answer behind that never comes.
        asked(glance)
        yield glance, there, reader, transport
        transport.abort()
        await reader.lost


def asked(glance: Glance) -> asyncio.Future[bytes]:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    glance.expect(answer)
    return answer


async def test_what_is_there_is_taken_without_the_event_loop() -> None:
    async with connected() as (glance, there, reader, _):
        answer = asked(glance)
        there.send(b"hello")
        assert glance.read(answer, BUFFER) == 5
        assert bytes(BUFFER[:5]) == b"hello"
        await asyncio.sleep(0)
        assert reader.received == b""


async def test_who_is_not_alone_leaves_it_to_the_event_loop() -> None:
    async with connected() as (one, there, reader, _), connected() as (other, also_there, _, _):
        first, second = asked(one), asked(other)
        there.send(b"1")
        also_there.send(b"2")
        # The first is not the last that asked; when the last asked, the first waited.
        assert one.read(first, BUFFER) == other.read(second, BUFFER) == 0
        first.set_result(b"")
        second.set_result(b"")
        while not reader.received:
            await asyncio.sleep(0)
        third = asked(one)
        there.send(b"3")
        assert one.read(third, BUFFER) == 1


async def test_others_get_their_turn_whichever_client_asks() -> None:
    async with connected() as (one, there, _, _), connected() as (other, also_there, _, _):
        there.send(b"123")
        also_there.send(b"45")
        small = bytearray(1)

        def read(glance: Glance) -> int:
            answer = asked(glance)
            size = glance.read(answer, small)
            answer.set_result(b"")
            return size

        assert [read(one), read(other)] == [1, 1]
        # As two answers, or whatever the caller did between them, may take.
        WATCH.seconds += TURN_SECONDS
        assert [read(one), read(other)] == [0, 0]
        other.turned()
        assert [read(one), read(other)] == [1, 1]


async def test_an_answer_is_not_kept_alive() -> None:
    async with connected() as (glance, there, _, _):
        answer = asked(glance)
        kept = weakref.ref(answer)
        del answer
        assert kept() is None
        # One that is gone is waited for by nobody.
        answer = asked(glance)
        there.send(b"1")
        assert glance.read(answer, BUFFER) == 1


def passed_over(patience: Patience) -> int:
    count = 0
    while not patience.looks():
        count += 1
    return count


def test_looking_in_vain_is_given_up_and_tried_again_ever_more_rarely() -> None:
    patience = Patience()
    pauses: list[int] = []
    while not pauses or pauses[-1] < MOST_PASSED_OVER:
        patience.found(0)
        pauses.append(passed_over(patience))
    assert pauses == [1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1024]
    # One that comes is enough to begin anew.
    patience.found(5)
    assert passed_over(patience) == 0
    patience.found(0)
    assert passed_over(patience) == 1


async def test_nothing_there_is_left_to_the_event_loop() -> None:
    async with connected() as (glance, there, reader, _):
        answer = asked(glance)
        assert glance.read(answer, BUFFER) == 0
        there.send(b"late")
        while not reader.received:
            await asyncio.sleep(0)
        answer.set_result(b"")


async def test_an_end_and_an_error_are_left_to_the_event_loop() -> None:
    async with connected() as (glance, there, reader, transport):
        answer = asked(glance)
        there.close()
        assert glance.read(answer, BUFFER) == 0
        await reader.lost
        assert transport.is_closing()
        # Its number may be another file's by now.
        answer.set_result(b"")
        for _ in range(2):
            answer = asked(glance)
            assert glance.read(answer, BUFFER) == 0
            answer.set_result(b"")


def test_only_a_selector_loop_has_one() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def at() -> Glance | None:
        here, there = socket.socketpair()
        with there:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
            try:
                return Glance.at(transport)
            finally:
                transport.abort()

    assert uvloop.run(at()) is None
    assert asyncio.run(at()) is not None


async def test_tls_is_left_to_the_event_loop() -> None:
    class Secure(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return object() if name == "ssl_object" else default

    assert Glance.at(Secure()) is None
