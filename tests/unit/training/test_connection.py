from __future__ import annotations

import asyncio
import json
import socket

import pytest

from agentcore.training.openenv.connection import Connection, Refused
from agentcore.training.openenv.errors import (
    CapacityReached,
    OpenEnvConnectionError,
    OpenEnvHTTPError,
    OpenEnvSpecError,
    SessionLost,
)
from tests.fakes.openenv_servers import (
    Drop,
    Leave,
    Reply,
    ScriptedServer,
    observation,
    refusal,
)
from tests.fakes.waiting import eventually


async def opened(url: str) -> Connection:
    return await Connection.open(url.replace("http", "ws") + "/ws", headers={}, seconds=60)


async def test_a_call_returns_the_data_of_its_answer() -> None:
    async with ScriptedServer(steps=[observation(2.0)]).running() as url:
        connection = await opened(url)
        assert connection.alive
        assert (await connection.call("step", b"{}", seconds=60))["reward"] == 2.0
        await connection.close()
        assert not connection.alive


async def test_an_error_frame_keeps_its_code_and_data() -> None:
    async with ScriptedServer(steps=[refusal("NEW_CODE", "why", more=[1])]).running() as url:
        connection = await opened(url)
        with pytest.raises(Refused, match="why") as caught:
            await connection.call("step", b"{}", seconds=60)
        assert caught.value.code == "NEW_CODE"
        assert caught.value.data["more"] == [1]
        assert connection.alive
        await connection.close()


async def test_a_refusal_before_the_close_is_read_also_when_sending_fails() -> None:
    last = refusal("SESSION_ERROR", "idle for too long")
    server = ScriptedServer(steps=[Leave(last)])
    async with server.running() as url:
        connection = await opened(url)
        with pytest.raises(SessionLost, match="idle for too long"):
            await connection.call("step", b"{}", seconds=60)
        await eventually(lambda: not connection.alive)
        with pytest.raises(SessionLost, match="code 1000"):
            await connection.call("step", b"{}", seconds=60)


async def test_a_session_that_the_token_does_not_open_is_no_lost_connection() -> None:
    """Asking again with the same token changes nothing."""
    last = refusal("SESSION_ERROR", "it lacks the scope 'env:control'", reason="forbidden")
    async with ScriptedServer(states=[Leave(last)]).running() as url:
        with pytest.raises(OpenEnvHTTPError, match="env:control") as caught:
            await opened(url)
    assert (caught.value.hint, caught.value.retryable) == ("check the token", False)


async def test_an_announced_end_is_told_at_the_next_call() -> None:
    """The reaper's way: the error frame and the close are there before anybody asks."""
    sockets: list[object] = []
    server = ScriptedServer()
    async with server.listening() as listening:
        port = listening.sockets[0].getsockname()[1]
        connection = await opened(f"http://127.0.0.1:{port}")
        for peer in listening.connections:
            sockets.append(peer)
            await peer.send(json.dumps(refusal("SESSION_ERROR", "reaped")))
            await peer.close()
        assert len(sockets) == 1
        await eventually(lambda: not connection.alive)
        with pytest.raises(SessionLost, match="reaped"):
            await connection.call("step", b"{}", seconds=60)


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Drop, SessionLost, "without a close frame"),
        (Leave(code=1001), SessionLost, "code 1001"),
        (Leave(refusal("CAPACITY_REACHED", "full")), CapacityReached, "full"),
        ("[]", OpenEnvSpecError, "not a JSON object"),
        ("nonsense", OpenEnvSpecError, "not JSON"),
        ('{"type":"observation","data":7}', OpenEnvSpecError, "without data"),
    ],
)
async def test_what_ends_a_call(reply: Reply, error: type[Exception], message: str) -> None:
    async with ScriptedServer(steps=[reply]).running() as url:
        connection = await opened(url)
        with pytest.raises(error, match=message):
            await connection.call("step", b"{}", seconds=60)
        connection.abort()


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ('"\\ud800"', "surrogates"),
        ("9" * 400, "64-bit"),
        ("[" * 500 + "]" * 500, "more than 200 deep"),
        ('{"a":' * 210 + "NaN" + "}" * 210, "more than 200 deep"),
    ],
)
async def test_an_answer_that_cannot_be_written_again_is_none(shown: str, message: str) -> None:
    reply = f'{{"type":"observation","data":{{"observation":{{"shown":{shown}}}}}}}'
    async with ScriptedServer(steps=[reply]).running() as url:
        connection = await opened(url)
        with pytest.raises(OpenEnvSpecError, match=f"cannot be written as JSON.*{message}"):
            await connection.call("step", b"{}", seconds=60)
        await eventually(lambda: not connection.alive)


async def test_what_is_wide_or_not_finite_is_taken() -> None:
    shown = json.dumps({"wide": [[[n]] for n in range(1000)], "deep": None})
    deep = shown.replace("null", "[" * 190 + "]" * 190)
    for reward in ("1.0", "NaN", "-Infinity"):
        data = f'{{"observation":{deep},"reward":{reward}}}'
        server = ScriptedServer(steps=[f'{{"type":"observation","data":{data}}}'])
        async with server.running() as url:
            connection = await opened(url)
            assert "observation" in await connection.call("step", b"{}", seconds=60)
            await connection.close()


async def test_a_server_that_speaks_no_websocket() -> None:
    served = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp ready\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OpenEnvSpecError, match="does not speak WebSocket"):
            await opened(f"http://127.0.0.1:{port}")
        await served.wait()


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/ws"
        with pytest.raises(OpenEnvConnectionError, match="no answer within"):
            await Connection.open(url, headers={}, seconds=0.1)
