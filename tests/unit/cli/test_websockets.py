"""Whatever arrives in whatever pieces: the lean protocol does what uvicorn's own does."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from itertools import pairwise
from logging.handlers import BufferingHandler
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from agentcore.cli.websockets import LeanWebSockets
from tests.fakes.asgi import Wire
from tests.fakes.openenv_servers import serving

MOST = 300
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


async def conversation(
    protocol: type[WebSocketsSansIOProtocol], chunks: list[bytes]
) -> tuple[list[Any], bytes, bool]:
    """What an echoing application received, what the wire carried, and whether it was closed."""
    received: list[Any] = []

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            received.append(dict(message))
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            elif message["type"] == "websocket.disconnect":
                return
            elif (text := message.get("text")) is not None:
                await send({"type": "websocket.send", "text": text})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"]})

    config = uvicorn.Config(
        echo, ws_max_size=MOST, ws_ping_interval=None, log_config=None, lifespan="off"
    )
    config.load()
    state = ServerState()
    spoken = protocol(config, state, {}, asyncio.get_running_loop())
    wire = Wire()
    spoken.connection_made(wire)
    for chunk in [UPGRADE, *chunks]:
        if not wire.closed:
            spoken.data_received(chunk)
        for _ in range(4):
            await asyncio.sleep(0)
    spoken.connection_lost(None)
    await asyncio.gather(*state.tasks, return_exceptions=True)
    return received, wire.written, wire.closed


TEXTS = st.text(max_size=200).map(str.encode) | st.sampled_from([b"a" * 126, b"a" * 250])
WHOLE = st.one_of(
    st.builds(frame, st.just(Opcode.TEXT), TEXTS),
    st.builds(frame, st.just(Opcode.TEXT), TEXTS),
    st.builds(frame, st.just(Opcode.BINARY), st.binary(max_size=20)),
    st.builds(frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=20)),
)
SPLIT = st.builds(
    lambda head, ping, tail: (
        frame(Opcode.TEXT, head, fin=False)
        + frame(Opcode.PING, ping)
        + frame(Opcode.CONT, tail, fin=True)
    ),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=5),
    st.text(max_size=20).map(str.encode),
)
RARE = st.one_of(
    st.just(frame(Opcode.CLOSE, b"\x03\xe8")),
    st.just(frame(Opcode.TEXT, b"unmasked", mask=False)),
    st.just(frame(Opcode.CONT, b"of nothing")),
    st.just(frame(Opcode.TEXT, b"not \xff UTF-8")),
    st.just(frame(Opcode.TEXT, b"a" * (MOST + 1))),
    st.binary(max_size=30),
)


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(WHOLE | SPLIT, max_size=6),
    last=st.just(b"") | RARE,
    cuts=st.lists(st.integers(0, 2000), max_size=6),
)
@example(frames=[], last=frame(Opcode.TEXT, b"a" * (MOST + 1)), cuts=[3])
@example(frames=[], last=frame(Opcode.TEXT, b"\xff"), cuts=[])
@example(frames=[], last=b"\x00~", cuts=[])
@example(frames=[frame(Opcode.TEXT, b"a"), frame(Opcode.TEXT, b"b")], last=b"", cuts=[1, 8])
async def test_it_does_what_uvicorns_own_does(
    frames: list[bytes], last: bytes, cuts: list[int]
) -> None:
    sound = b"".join(frames)
    data = sound + last
    # The library forgets what came in one piece with a fault; what was sound is answered here.
    edges = sorted({0, len(sound), len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    ours = await conversation(LeanWebSockets, chunks)
    theirs = await conversation(WebSocketsSansIOProtocol, chunks)
    assert ours == theirs


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def test_large_and_many_frames_pass_in_order() -> None:
    async with (
        serving(echo) as url,
        connect(url.replace("http", "ws"), proxy=None, max_size=None, compression=None) as socket,
    ):
        texts = [f"{number}" * (number % 7 + 1) for number in range(100)]
        texts += ["x" * 100_000, "y" * 3_000_000, "ü" * 40_000]
        for text in texts:
            await socket.send(text)
        assert [await socket.recv() for _ in texts] == texts
        assert await (await socket.ping()) >= 0


async def test_who_sends_too_much_is_told_1009() -> None:
    async with (
        serving(echo) as url,
        connect(url.replace("http", "ws"), proxy=None, compression=None) as socket,
    ):
        with suppress(ConnectionClosed):
            await socket.send("x" * (16 * 1024 * 1024 + 1))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009


async def test_a_refused_socket_is_no_error_of_the_server() -> None:
    told = BufferingHandler(capacity=100)
    told.setLevel(logging.WARNING)

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await PlainTextResponse("no", 401)(scope, receive, send)

    logging.root.addHandler(told)
    try:
        async with serving(refuse) as url:
            with pytest.raises(InvalidStatus) as caught:
                await connect(url.replace("http", "ws"), proxy=None)
            await asyncio.sleep(0)
    finally:
        logging.root.removeHandler(told)
    assert caught.value.response.status_code == 401
    assert [record.getMessage() for record in told.buffer] == []
