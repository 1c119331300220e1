"""The short way of an answer and uvicorn's own put the same bytes on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from agentcore.cli.upgrades import PlainHttp
from tests.fakes.asgi import Wire

NAMES = st.sampled_from(
    [b"x-a", b"X-A", b"content-length", b"connection", b"transfer-encoding", b"bad name", b"x:y"]
)
VALUES = st.sampled_from([b"1", b"2", b"close", b"chunked", b"a\r\nx: y", b"a\nb", b"\x00", b"t\t"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
PIECES = st.lists(st.sampled_from([b"", b"a", b"ab", b"abc"]), max_size=4)
STATUSES = st.sampled_from([200, 204, 304, 404, 500])
TARGETS = st.sampled_from([b"/", b"/a/b", b"/a%20b", b"/a?x=1", b"/a#b", b"http://h/a?b", b"*"])


async def spoken(
    kind: type[HttpToolsProtocol], requests: bytes, messages: list[dict[str, Any]], *, pause: bool
) -> tuple[bytes, bool, list[Any]]:
    """What came out, whether the connection was closed, and what the application was asked."""
    asked: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        names = ("method", "path", "raw_path", "query_string", "http_version", "headers")
        asked.append([scope[name] for name in names])
        asked.append((await receive())["body"])
        for message in messages:
            await send(dict(message))
            if pause:
                await asyncio.sleep(0)

    config = uvicorn.Config(
        application, log_config=None, lifespan="off", date_header=False, server_header=False
    )
    config.load()
    state = ServerState()
    wire = Wire()
    protocol = kind(config, state, {}, asyncio.get_running_loop())
    protocol.logger.disabled = True
    protocol.connection_made(wire)
    protocol.data_received(requests)
    for _ in range(40):
        await asyncio.sleep(0)
    closed = wire.is_closing()
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks, return_exceptions=True)
    return wire.written, closed, asked


def request(method: bytes, target: bytes, version: bytes, extra: bytes = b"") -> bytes:
    return b"%b %b HTTP/%b\r\nHost: h\r\nContent-Length: 2\r\n%b\r\nhi" % (
        method,
        target,
        version,
        extra,
    )


def answer(
    status: int, headers: list[tuple[bytes, bytes]], pieces: list[bytes], *, ended: bool
) -> list[dict[str, Any]]:
    start = {"type": "http.response.start", "status": status, "headers": headers}
    parts = [{"type": "http.response.body", "body": piece, "more_body": True} for piece in pieces]
    last = [{"type": "http.response.body", "body": b""}] if ended else []
    if parts and not ended:
        parts[-1]["more_body"] = False
    return [start, *parts, *last]


@given(
    method=st.sampled_from([b"GET", b"POST", b"HEAD"]),
    target=TARGETS,
    close=st.booleans(),
    status=STATUSES,
    headers=HEADERS,
    pieces=PIECES,
    ended=st.booleans(),
    pause=st.booleans(),
    twice=st.booleans(),
)
@example(
    method=b"HEAD",
    target=b"/",
    close=False,
    status=200,
    headers=[(b"transfer-encoding", b"chunked")],
    pieces=[b"a"],
    ended=True,
    pause=False,
    twice=False,
)
def test_both_say_the_same(
    method: bytes,
    target: bytes,
    close: bool,
    status: int,
    headers: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    ended: bool,
    pause: bool,
    twice: bool,
) -> None:
    asked = request(method, target, b"1.1", b"Connection: close\r\n" if close else b"")
    messages = answer(status, headers, pieces, ended=ended)

    async def both() -> list[tuple[bytes, bool, list[Any]]]:
        return [
            await spoken(kind, asked * (2 if twice else 1), messages, pause=pause)
            for kind in (HttpToolsProtocol, PlainHttp)
        ]

    theirs, ours = asyncio.run(both())
    assert ours == theirs


@pytest.mark.parametrize("length", [b"2", None])
async def test_a_common_answer_is_framed_and_its_connection_kept(length: bytes | None) -> None:
    headers = [] if length is None else [(b"content-length", length)]
    messages = answer(200, headers, [b"ab"], ended=length is None)
    written, closed, _ = await spoken(
        PlainHttp, request(b"POST", b"/a", b"1.1"), messages, pause=False
    )
    framed = b"2\r\nab\r\n0\r\n\r\n" if length is None else b"ab"
    assert (written.partition(b"\r\n\r\n")[2], closed) == (framed, False)


@pytest.mark.parametrize("target", [b"/", b"/?x=1"])
async def test_who_leaves_with_requests_in_line_is_noticed_by_the_first(target: bytes) -> None:
    told: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        told.extend([(await receive())["type"] for _ in range(2)])

    protocol, _, state = serving(application)
    protocol.data_received(request(b"POST", target, b"1.1") * 3)
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)
    assert told == ["http.request", "http.disconnect"]


def opened(release: asyncio.Event) -> tuple[PlainHttp, Wire, ServerState]:
    """A connection to who answers at once, but ``/slow`` when it is released."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        for message in answer(200, [(b"content-length", b"1")], [b"x"], ended=False):
            await send(message)

    return serving(application)


def serving(application: ASGIApp) -> tuple[PlainHttp, Wire, ServerState]:
    config = uvicorn.Config(application, log_config=None, lifespan="off", timeout_keep_alive=100)
    config.load()
    wire, state = Wire(), ServerState()
    protocol = PlainHttp(config, state, {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    return protocol, wire, state


async def test_a_head_that_began_before_an_answers_end_is_no_pause() -> None:
    release = asyncio.Event()

    protocol, wire, state = opened(release)
    second = request(b"POST", b"/slow", b"1.1")
    protocol.data_received(request(b"POST", b"/", b"1.1") + second[:9])
    await asyncio.gather(*state.tasks)
    protocol.data_received(second[9:])
    protocol.timeout_keep_alive = 0
    protocol.timeout_keep_alive_handler()
    assert not wire.is_closing()
    release.set()
    await asyncio.gather(*state.tasks)
    protocol.connection_lost(None)


async def test_an_idle_connection_is_closed_once_nobody_asks_for_long_enough() -> None:
    release = asyncio.Event()

    protocol, wire, state = opened(release)

    async def asked(path: bytes) -> None:
        protocol.data_received(request(b"POST", path, b"1.1"))
        await asyncio.sleep(0)

    await asked(b"/")
    timer = protocol.timeout_keep_alive_task
    assert timer is not None
    # Its time is up while a request is answered: nothing is closed, and its end begins anew.
    await asked(b"/slow")
    assert protocol.timeout_keep_alive_task is timer
    timer.cancel()
    protocol.timeout_keep_alive_handler()
    assert not wire.is_closing()
    assert protocol.timeout_keep_alive_task is None
    release.set()
    await asyncio.gather(*state.tasks)
    # Its time is up, but the last answer is not that old.
    later = protocol.timeout_keep_alive_task
    assert later is not None
    later.cancel()
    protocol.timeout_keep_alive_handler()
    assert not wire.is_closing()
    last = protocol.timeout_keep_alive_task
    assert last is not None
    assert last is not later
    # Bytes that are no request do not keep the connection.
    protocol.data_received(b"\r\n")
    protocol.timeout_keep_alive = 0
    protocol.timeout_keep_alive_handler()
    assert wire.is_closing()
    protocol.connection_lost(None)
    assert protocol.timeout_keep_alive_task is None
