"""The client's WebSocket against a peer that writes raw bytes, so that every cut can be tried."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHandshake, InvalidMessage

from agentcore.training.openenv.websocket import MOST_UNREAD, SocketClosed, WebSocket
from tests.fakes.cutting import cut
from tests.fakes.waiting import eventually

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + length + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A client's frame, unmasked: RFC 6455 wants it masked."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "a client masks"
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4)
    body = await reader.readexactly(size)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    key = next(
        line.split(b": ", 1)[1]
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    assert lines[b"upgrade"] == b"websocket"
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


@asynccontextmanager
async def peer(converse: Peer) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    finally:
        server.close()


async def opened(url: str, seconds: float = 60) -> WebSocket:
    return await WebSocket.open(url, headers={"x-test": "1"}, seconds=seconds)


@given(
    messages=st.lists(st.binary(max_size=400), min_size=1, max_size=MOST_UNREAD),
    fragments=st.lists(st.integers(0, 400), max_size=4),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    pinged=st.booleans(),
)
async def test_however_bytes_are_cut_messages_come_whole_and_in_order(
    messages: list[bytes], fragments: list[int], cuts: list[int], pinged: bool
) -> None:
    wire = b""
    for message in messages:
        parts = cut(message, fragments)
        for at, part in enumerate(parts):
            wire += frame(part, TEXT if at == 0 else 0, fin=at == len(parts) - 1)
            wire += frame(b"?", PING) if pinged else b""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        for piece in cut(wire, cuts):
            writer.write(piece)
            await asyncio.sleep(0)
        await reader.read()

    async with peer(converse) as url:
        socket = await opened(url)
        assert [await socket.receive(60) for _ in messages] == messages
        socket.abort()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 300_000])
async def test_messages_of_every_length_go_out_masked_and_come_back(size: int) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        opcode, body = await read_frame(reader)
        writer.write(frame(body, opcode))
        await reader.read()

    message = bytes(at % 251 for at in range(size))
    async with peer(converse) as url:
        socket = await opened(url)
        socket.send(message)
        assert await socket.receive(60) == message
        socket.abort()


async def test_a_ping_is_answered_while_nobody_reads() -> None:
    answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(frame(b"still there?", PING))
        answered.set_result(await read_frame(reader))

    async with peer(converse) as url:
        socket = await opened(url)
        assert await answered == (PONG, b"still there?")
        socket.abort()


async def test_an_answer_that_is_there_is_taken_soon_after_the_loop_had_its_turn() -> None:
    """How soon is a matter of the machine, so some answers may pass first."""
    writers: list[asyncio.StreamWriter] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writers.append(writer)
        await reader.read()

    async with peer(converse) as url, asyncio.timeout(30):
        socket = await opened(url)
        taken = False
        while not taken:
            coming = socket.expect(30)
            writers[0].write(frame(b"answer"))
            socket.look(coming)
            taken = coming.done()
            assert await coming == b"answer"
        socket.abort()


async def test_the_closing_handshake_is_answered_and_its_reason_told() -> None:
    answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(frame(b"last") + frame(b"\x03\xf3too large", CLOSE))
        answered.set_result(await read_frame(reader))

    async with peer(converse) as url:
        socket = await opened(url)
        assert await answered == (CLOSE, b"\x03\xf3too large")
        assert socket.ended
        assert await socket.receive(60) == b"last"
        with pytest.raises(SocketClosed, match="code 1011: too large") as caught:
            await socket.receive(60)
        assert caught.value.code == 1011
        socket.send(b"into the void")
        await socket.closed(60)


async def test_all_of_it_may_come_with_the_handshake() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(frame(b"full") + frame(b"\x03\xe8", CLOSE))

    async with peer(converse) as url:
        socket = await opened(url)
        assert await socket.receive(60) == b"full"
        with pytest.raises(SocketClosed, match="code 1000"):
            await socket.receive(60)


@pytest.mark.parametrize(
    "wire",
    [
        b"\x81\xff",  # a server does not mask
        b"\xf1\x00",  # reserved bits without an extension
        b"\x83\x00",  # no such opcode
        frame(b"x", 0),  # continues nothing
        frame(b"x", fin=False) + frame(b"y"),  # a message inside a message
        b"\x09\x00",  # a control frame in parts
        b"\x88\x01\x03",  # half a close code
    ],
)
async def test_who_breaks_the_protocol_is_left(wire: bytes) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(wire + bytes(8))
        await reader.read()

    async with peer(converse) as url:
        socket = await opened(url)
        with pytest.raises(SocketClosed) as caught:
            await socket.receive(60)
        assert caught.value.fault is not None
        assert not caught.value.message_too_large
        assert socket.ended


async def test_a_message_that_is_too_large_is_refused_by_its_length() -> None:
    refused: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(b"\x81\x7f" + (100 * 1024 * 1024 + 1).to_bytes(8, "big"))
        refused.set_result(await read_frame(reader))

    async with peer(converse) as url:
        socket = await opened(url)
        with pytest.raises(SocketClosed) as caught:
            await socket.receive(60)
        assert caught.value.message_too_large
        opcode, body = await refused
        assert (opcode, body[:2]) == (CLOSE, (1009).to_bytes(2, "big"))


async def test_a_flood_that_nobody_asked_for_is_cut_off() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(frame(b"news") * (MOST_UNREAD + 1))
        await reader.read()

    async with peer(converse) as url:
        socket = await opened(url)
        await socket.closed(60)
        assert socket.ended


async def test_each_read_has_its_own_time() -> None:
    """One timer watches them all: neither a shorter nor a longer time may be missed."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        while True:
            await read_frame(reader)
            writer.write(frame(b"answer"))

    async with peer(converse) as url:
        socket = await opened(url)
        for seconds in (60.0, 0.02, 60.0, 0.04):
            if seconds < 1.0:
                with pytest.raises(TimeoutError):
                    await socket.receive(seconds)
            else:
                socket.send(b"ask")
                assert await socket.receive(seconds) == b"answer"
        socket.abort()


async def test_a_connection_that_breaks_wakes_who_waits() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await read_frame(reader)
        writer.write(frame(b"half of a message")[:9])
        await writer.drain()

    async with peer(converse) as url:
        socket = await opened(url)
        socket.send(b"ask")
        with pytest.raises(SocketClosed, match="without a close frame"):
            await socket.receive(60)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"220 smtp ready\r\n", InvalidMessage),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", InvalidHandshake),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", InvalidHandshake),
        (
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: bm90IHRoZSBrZXk=\r\n\r\n"
            ),
            InvalidHandshake,
        ),
        (b"", OSError),
    ],
    ids=["smtp", "html", "redirect", "wrong key", "silent"],
)
async def test_who_does_not_shake_hands_is_left(answer: bytes, error: type[Exception]) -> None:
    left = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        try:
            await reader.read()
        finally:
            left.set()

    async with peer(converse) as url:
        with pytest.raises(error):
            await opened(url, 0.1 if not answer else 60)
        await left.wait()


async def test_opening_may_be_cancelled_at_any_moment() -> None:
    """Whatever was begun is gone then: the other side sees the end of every connection."""
    open_connections = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_connections
        open_connections += 1
        try:
            await greet(reader, writer)
            await reader.read()
        finally:
            open_connections -= 1

    async with peer(converse) as url:
        for ticks in range(12):
            opening = asyncio.create_task(opened(url))
            for _ in range(ticks):
                await asyncio.sleep(0)
            opening.cancel()
            with suppress(asyncio.CancelledError):
                (await opening).abort()
        await eventually(lambda: not open_connections)
