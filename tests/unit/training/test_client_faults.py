"""What the client makes of servers that are away, broken, full, slow, or something else."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from agentcore.kit.errors import InvalidInput
from agentcore.training.openenv.client import (
    Action,
    CapacityReached,
    OpenEnvClient,
    OpenEnvConnectionError,
    OpenEnvHTTPError,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
    OpenEnvSpecError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.connection import Connection
from agentcore.training.openenv.errors import OpenEnvError
from agentcore.training.openenv.websocket import default_tls
from tests.fakes.certificates import served_with, unknown_certificate
from tests.fakes.clock import InstantClock
from tests.fakes.openenv_servers import (
    FULL,
    SAY,
    Drop,
    Hang,
    Leave,
    Reply,
    ScriptedServer,
    client,
    observation,
    refusal,
    sent,
)
from tests.fakes.waiting import eventually


async def connect_only(env: OpenEnvClient) -> None:
    await env.connect()


async def reset_only(env: OpenEnvClient) -> None:
    await env.reset(seed=1)


async def step_once(env: OpenEnvClient) -> None:
    await env.reset(seed=1)
    await env.step(SAY)


async def whole_episode(env: OpenEnvClient) -> None:
    await env.reset(seed=1)
    await env.step(SAY)
    await env.state()
    await env.close()


@pytest.mark.parametrize("play", [connect_only, reset_only, step_once, whole_episode])
async def test_cancelled_at_any_moment_it_leaves_no_half_session(
    play: Callable[[OpenEnvClient], Awaitable[None]],
) -> None:
    """Afterwards the client either holds a session that answers, or none at all."""
    server = ScriptedServer()
    async with server.running() as url:
        env = client(url)
        await env.connect()
        await env.close()
        for ticks in range(0, 60, 3):
            playing = asyncio.ensure_future(play(env))
            for _ in range(ticks):
                await asyncio.sleep(0)
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing
            # Usable again, whatever was interrupted.
            await env.reset(seed=2)
            assert (await env.step(SAY)).reward == 0.5
            await env.close()
        gc.collect()
        await eventually(lambda: server.open_sessions == 0)


async def test_a_cancelled_close_closes_all_the_same() -> None:
    server = ScriptedServer()
    async with server.running() as url:
        env = client(url)
        await env.connect()
        closing = asyncio.ensure_future(env.close())
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        await eventually(lambda: server.open_sessions == 0)


async def test_waiting_for_capacity_ends_when_a_session_is_free() -> None:
    server = ScriptedServer(states=[Leave(FULL), Leave(FULL), Leave(FULL)])
    async with server.running() as url, client(url, capacity_timeout=60) as env:
        await env.reset()
    assert server.sessions == 4


async def test_waiting_for_capacity_is_bounded() -> None:
    server = ScriptedServer(states=[Leave(FULL)] * 1000)
    async with server.running() as url:
        with pytest.raises(CapacityReached) as caught:
            await client(url, capacity_timeout=2.0, clock=InstantClock()).connect()
    assert (caught.value.active, caught.value.maximum) == (4, 4)
    assert 2 < server.sessions < 100


async def test_a_refusal_without_numbers_is_a_refusal_too() -> None:
    odd = refusal("CAPACITY_REACHED", "full", active_sessions="many", max_sessions=True)
    async with ScriptedServer(states=[Leave(odd)]).running() as url:
        with pytest.raises(CapacityReached) as caught:
            await client(url).connect()
    assert (caught.value.active, caught.value.maximum) == (None, None)


async def test_two_clients_never_share_a_session() -> None:
    server = ScriptedServer()
    async with server.running() as url:
        clients = [client(url) for _ in range(8)]
        await asyncio.gather(*(each.reset(seed=n) for n, each in enumerate(clients)))
        assert (server.sessions, server.open_sessions) == (8, 8)
        await asyncio.gather(*(each.close() for each in clients))


async def test_connecting_again_does_not_go_on_in_another_environment() -> None:
    server = ScriptedServer(steps=[observation(0.5), observation(1.0, done=True)])
    async with server.listening() as first:
        port = first.sockets[0].getsockname()[1]
        playing, over = (client(f"http://127.0.0.1:{port}") for _ in range(2))
        for env in (playing, over):
            await env.reset()
        await playing.step(SAY)
        assert (await over.step(SAY)).done
    await asyncio.sleep(0.01)
    async with server.running(port):
        for env in (playing, over):
            # A state would be that of an environment which nobody has reset.
            with pytest.raises(SessionLost):
                await env.state()
            await env.connect()
            for ask in (env.state(), env.step(SAY)):
                with pytest.raises(SessionLost):
                    await ask
            await env.reset()
            assert (await env.step(SAY)).reward == 0.5
            await env.close()


@pytest.mark.parametrize("reply", [Drop, Leave(), Leave(refusal("SESSION_ERROR", "gone"))])
async def test_a_reset_that_costs_the_session_is_not_repeated_for_ever(reply: Reply) -> None:
    server = ScriptedServer(resets=[reply] * 10)
    async with server.running() as url:
        env = client(url)
        with pytest.raises(OpenEnvResetError, match="lost the session"):
            await env.reset(seed=1)
        # The session was opened for this reset, so another would fare no better.
        assert server.sessions == 1
        await env.close()


async def test_a_session_that_died_between_episodes_costs_one_more_reset() -> None:
    server = ScriptedServer(resets=[observation(), Drop])
    async with server.running() as url, client(url) as env:
        await env.reset(seed=1)
        await env.reset(seed=2)
        assert (await env.step(SAY)).reward == 0.5
    assert [frame["data"] for frame in sent(server.received, "reset")] == [
        {"seed": 1},
        {"seed": 2},
        {"seed": 2},
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "state", "data": {"step_count": 1}},
        {"type": "step", "data": {"message": "x"}},
        {"type": "observation", "data": {"reward": 1.0, "done": False}},
        {"type": "observation", "data": {"observation": [], "reward": 1.0, "done": False}},
        "[" * 100_000,
        '{"type":"observation","data":{"observation":{"x":"\\ud800"},"reward":1',
    ],
    ids=["other answer", "echo", "no observation", "a list", "deep", "cut off"],
)
async def test_an_answer_that_makes_no_sense_gives_up_the_session(answer: Reply) -> None:
    server = ScriptedServer(steps=[answer])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(OpenEnvSpecError) as caught:
            await env.step(SAY)
        assert caught.value.hint or "observation" in caught.value.detail
        with pytest.raises(SessionLost):
            await env.step(SAY)
        await env.reset()
        await env.step(SAY)
    assert server.sessions == 2


async def test_a_frame_that_nobody_asked_for_is_not_taken_for_the_next_answer() -> None:
    """Two answers to one step would put every later answer one step behind."""
    server = ScriptedServer()
    async with server.listening() as listening:
        port = listening.sockets[0].getsockname()[1]
        env = client(f"http://127.0.0.1:{port}")
        await env.reset()
        for peer in listening.connections:
            await peer.send(json.dumps(observation(9.0)))
        await asyncio.sleep(0.05)
        with pytest.raises(OpenEnvSpecError, match="answers nothing"):
            await env.step(SAY)
        with pytest.raises(SessionLost):
            await env.step(SAY)
        await env.close()


async def test_an_action_without_json_form_is_not_sent_and_the_episode_goes_on() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url) as env:
        await env.reset()
        wrong = Action(type="say", parameters={"message": 2**80})
        with pytest.raises(OpenEnvInvalidActionError):
            await env.step(wrong)
        with pytest.raises(OpenEnvResetError, match="JSON"):
            await env.reset(options={"level": 2**80})
        assert (await env.step(SAY)).reward == 0.5
    assert len(sent(server.received, "step")) == 1


async def test_a_timeout_of_the_state_leaves_no_answer_behind() -> None:
    server = ScriptedServer(states=[observation(), Hang])
    server.states[0] = {"type": "state", "data": {"step_count": 0}}
    async with server.running() as url, client(url) as env:
        await env.reset()
        env.timeout = 0.05
        with pytest.raises(StepTimeout):
            await env.state()
        env.timeout = 10.0
        with pytest.raises(SessionLost):
            await env.step(SAY)
        await env.reset()
        assert (await env.state())["step_count"] == 0


async def test_a_frame_larger_than_the_server_takes_says_so() -> None:
    async def converse(socket: ServerConnection) -> None:
        async for text in socket:
            kind = json.loads(text)["type"]
            await socket.send(json.dumps({"type": "state", "data": {}} if kind == "state" else {}))

    async with serve(converse, "127.0.0.1", 0, max_size=1000) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/ws"
        connection = await Connection.open(url, headers={}, seconds=60)
        with pytest.raises(SessionLost, match="1009") as caught:
            await connection.call("step", json.dumps({"x": "y" * 2000}).encode(), seconds=60)
        assert "larger than the server takes" in caught.value.hint


async def test_a_websocket_that_echoes_is_no_environment() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for text in socket:
            await socket.send(text)

    async with serve(echo, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        with pytest.raises(OpenEnvSpecError) as caught:
            await Connection.open(url, headers={}, seconds=60)
    assert "OpenEnv server" in caught.value.hint


@asynccontextmanager
async def answering(raw: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that says one thing to everybody, and ends."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(10_000)
            writer.write(raw)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
MOVED = (
    b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://x.test/e\r\nContent-Length: 0\r\n\r\n"
)
PROXY = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "error", "hint"),
    [
        (HTML, OpenEnvSpecError, "OpenEnv server"),
        (MOVED, OpenEnvHTTPError, "https://x.test/e"),
        (PROXY, OpenEnvHTTPError, "proxy"),
        # Too short to be told from a connection that was closed at once.
        (b"220 smtp ready\r\n", OpenEnvError, "port"),
        (b"\x15\x03\x01\x00\x02\x02\x28", OpenEnvError, "http or https"),
        (b"", OpenEnvConnectionError, "does the server run"),
    ],
    ids=["html", "redirect", "proxy", "smtp", "tls", "nothing"],
)
async def test_what_is_no_environment_says_what_to_do(
    raw: bytes, error: type[OpenEnvError], hint: str
) -> None:
    async with answering(raw) as port:
        with pytest.raises(OpenEnvError) as caught:
            await client(f"http://127.0.0.1:{port}").connect()
        assert isinstance(caught.value, error), caught.value
        assert hint in caught.value.hint
        assert str(port) in caught.value.detail
        socket = f"ws://127.0.0.1:{port}/ws"
        with pytest.raises(OpenEnvError) as caught:
            await Connection.open(socket, headers={}, seconds=60)
        assert isinstance(caught.value, error), caught.value
        assert hint in caught.value.hint


def test_credentials_do_not_hide_in_the_url_or_break_out_of_their_header() -> None:
    with pytest.raises(InvalidInput, match="credentials") as caught:
        OpenEnvClient("https://ada:secret@x.test/envs")
    assert "secret" not in str(caught.value)
    for token in ("a\r\nX-Admin: 1", "gr\xfc\xdfe", "a\nb"):
        with pytest.raises(InvalidInput, match="token"):
            OpenEnvClient("https://x.test", token=token)


async def test_environment_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with ScriptedServer().running() as url, client(url) as env:
        await env.reset()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return unknown_certificate(tmp_path)


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return served_with(certificate)


async def test_certificates_that_do_not_verify_are_named(tls: ssl.SSLContext) -> None:
    async with answering(HTML, tls) as port:
        with pytest.raises(OpenEnvConnectionError, match="does not verify: self-signed") as caught:
            await client(f"https://127.0.0.1:{port}").connect()
        assert "SSL_CERT_FILE" in caught.value.hint
        with pytest.raises(OpenEnvConnectionError, match="does not verify: self-signed"):
            await Connection.open(f"wss://127.0.0.1:{port}/ws", headers={}, seconds=60)


async def test_tls_to_a_plain_server_is_named() -> None:
    async with answering(HTML) as port:
        for ask in (
            client(f"https://127.0.0.1:{port}").connect(),
            Connection.open(f"wss://127.0.0.1:{port}/ws", headers={}, seconds=60),
        ):
            with pytest.raises(OpenEnvConnectionError, match="TLS") as caught:
                await ask
            assert "http:" in caught.value.hint


async def test_an_own_authority_is_taken_from_the_environment(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    default_tls.cache_clear()
    try:
        async with ScriptedServer(tls=tls).running() as url, client(url) as env:
            await env.reset(seed=1)
            assert (await env.step(SAY)).reward == 0.5
    finally:
        default_tls.cache_clear()


async def test_many_steps_leave_nothing_behind() -> None:
    """`python3 dev.py bench openenv --soak 100000` does the same for longer, with real servers."""
    server = ScriptedServer()

    async def play(env: OpenEnvClient, steps: int) -> int:
        for step in range(steps):
            await env.step(Action(type="say", parameters={"message": str(step)}))
            server.received.clear()
        gc.collect()
        return sys.getallocatedblocks()

    async with server.running() as url, client(url) as env:
        await env.reset()
        before = await play(env, 500)
        assert await play(env, 3000) - before < 500
