"""A connection against servers that speak as no library would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcore.llm_gateway import connection as module
from agentcore.llm_gateway.connection import Connection
from agentcore.llm_gateway.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from tests.fakes.cutting import cut
from tests.fakes.waiting import eventually

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[Connection]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):  # the client has gone
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, connection = await loop.create_connection(lambda: Connection(loop), "127.0.0.1", port)
        try:
            yield connection
        finally:
            connection.abort()


def saying(*parts: bytes, stay: bool = False) -> Serve:
    """Answer each request with these bytes, in these pieces; then close, or stay silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if stay:
            await reader.read()

    return serve


async def answer_of(connection: Connection, seconds: float = 60) -> tuple[int, bytes]:
    connection.send(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", b"", provider="p")
    status = await connection.answered(seconds)
    parts = []
    while part := await connection.chunk(seconds):
        parts.append(part)
    return status, b"".join(parts)


ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "counted": (HELLO, b"hello"),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n",
        b"hello",
    ),
    "until the end": (OK + b"\r\nhello", b"hello"),
    "old": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "without reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
    "after an early hint": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HELLO, b"hello"),
}


@pytest.mark.parametrize(("sent", "body"), ANSWERS.values(), ids=ANSWERS)
async def test_answers(sent: bytes, body: bytes) -> None:
    async with connected(saying(sent)) as connection:
        assert await answer_of(connection) == (200, body)
        assert connection.complete


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 120), max_size=5))
async def test_how_the_network_cuts_an_answer_does_not_matter(name: str, cuts: list[int]) -> None:
    sent, body = ANSWERS[name]
    pieces = [piece for piece in cut(sent, cuts) if piece]
    async with connected(saying(*pieces)) as connection:
        assert await answer_of(connection) == (200, body)


FAULTS: dict[str, tuple[bytes, type[UpstreamError]]] = {
    "silence": (b"", UpstreamUnavailable),
    "half a head": (OK + b"Content-", UpstreamUnavailable),
    "noise": (b"\x16\x03\x01\x00garbage", UpstreamMalformed),
    "no status": (b"HTTP/1.1 banana\r\n\r\n", UpstreamMalformed),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", UpstreamMalformed),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", UpstreamMalformed),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", UpstreamMalformed),
    "an upgrade": (
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        UpstreamMalformed,
    ),
    "a bad chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello", UpstreamMalformed),
    "too few bytes": (OK + b"Content-Length: 6\r\n\r\nhello", UpstreamTruncated),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", UpstreamTruncated),
}


@pytest.mark.parametrize(("sent", "expected"), FAULTS.values(), ids=FAULTS)
async def test_faults(sent: bytes, expected: type[UpstreamError]) -> None:
    async with connected(saying(sent)) as connection:
        with pytest.raises(expected) as caught:
            await answer_of(connection)
        assert caught.value.context["provider"] == "p"
        assert not connection.usable


@pytest.mark.parametrize(
    "sent", [b"", OK, OK + b"Content-Length: 6\r\n\r\nhello"], ids=["nothing", "half", "body"]
)
async def test_a_server_that_stalls(sent: bytes) -> None:
    async with connected(saying(sent, stay=True)) as connection:
        with pytest.raises(UpstreamTimeout):
            await answer_of(connection, 0.1)


async def test_a_head_that_drips_is_not_waited_for_longer() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with connected(drip) as connection, asyncio.timeout(20):
        with pytest.raises(UpstreamTimeout):
            await answer_of(connection, 0.1)


@pytest.mark.parametrize(("before", "then"), [(60.0, 0.03), (0.01, 0.03)], ids=["longer", "over"])
async def test_each_wait_has_its_own_end(before: float, then: float) -> None:
    """Although all waits of a connection share one alarm, which was set for another one."""
    cut = HELLO[:-2]
    async with connected(saying(cut, stay=True)) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", provider="p")
        await connection.answered(60)
        assert await connection.chunk(60) == b"hel"
        if before < then:
            with pytest.raises(UpstreamTimeout):
                await connection.chunk(before)
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamTimeout, match="fell silent in the middle"):
            await connection.chunk(then)
        assert asyncio.get_running_loop().time() - began > then / 2


async def test_an_endless_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_HEAD", 1000)
    long = OK + b"".join(b"X-%d: y\r\n" % number for number in range(200))
    async with connected(saying(long, stay=True)) as connection:
        with pytest.raises(UpstreamMalformed, match="endless head"):
            await answer_of(connection)


async def test_it_is_used_again_after_a_counted_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HELLO)

    async with connected(serve) as connection:
        for _ in range(3):
            assert await answer_of(connection) == (200, b"hello")
            assert connection.usable


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"\r\nhello",
        HELLO + HELLO,
        HELLO + b"garbage",
    ],
    ids=["old", "told to close", "until the end", "two answers", "a tail"],
)
async def test_it_is_not_used_again(sent: bytes) -> None:
    async with connected(saying(sent)) as connection:
        try:
            assert (await answer_of(connection))[1] == b"hello"
        except UpstreamMalformed:
            assert sent.endswith(b"garbage")
        await eventually(lambda: not connection.usable)


async def test_the_beginning_of_a_second_answer_spoils_it() -> None:
    # Its rest would be taken for the answer to whatever is asked next, by whomever.
    async with connected(saying(HELLO + OK + b"Content-Le", stay=True)) as connection:
        assert (await answer_of(connection))[1] == b"hello"
        assert not connection.usable


async def test_bytes_out_of_turn_spoil_it() -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HELLO)
        await go.wait()
        writer.write(HELLO)
        await reader.read()

    async with connected(serve) as connection:
        await answer_of(connection)
        assert connection.usable
        go.set()
        await eventually(lambda: not connection.usable)


async def test_what_nobody_takes_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HIGH_WATER", 10_000)
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 200000000\r\n\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000

    async with connected(flood) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", provider="p")
        await connection.answered(60)
        held = -1
        while held != written:
            held = written
            await asyncio.sleep(0.05)
            assert written < 100_000_000
        for _ in range(5):
            assert await connection.chunk(60)
        async with asyncio.timeout(60):
            while written == held:
                await connection.chunk(60)


async def test_untouched_tells_whether_an_answer_began() -> None:
    async with connected(saying(b"")) as connection:
        with pytest.raises(UpstreamUnavailable):
            await answer_of(connection)
        assert connection.untouched
    async with connected(saying(b"HTTP/1.1 2")) as connection:
        with pytest.raises(UpstreamUnavailable):
            await answer_of(connection)
        assert not connection.untouched


async def test_headers_by_lower_case_name() -> None:
    async with connected(saying(OK + b"Retry-AFTER: 7\r\nContent-Length: 0\r\n\r\n")) as connection:
        await answer_of(connection)
        assert connection.header(b"retry-after") == b"7"
        assert connection.header(b"other") is None
