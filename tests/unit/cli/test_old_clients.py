"""Clients of HTTP/1.0 read what HTTP/1.0 knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.fakes.asgi import connected

EVENTS = [b"data: 1\n\n", b"data: 2\n\n"]


async def answered(
    version: bytes, headers: list[tuple[bytes, bytes]], parts: list[bytes], asks: bytes = b"GET /a"
) -> tuple[bytes, bytes, bool]:
    """Head and body of the answer, and whether its connection was closed behind it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with connected(application) as (protocol, wire):
        protocol.data_received(b"%b HTTP/%b\r\nHost: x\r\n\r\n" % (asks, version))
        for _ in range(20):
            await asyncio.sleep(0)
        head, _, body = wire.written.partition(b"\r\n\r\n")
        return head, body, wire.is_closing()


@pytest.mark.parametrize("asks", [b"GET /a", b"GET /a?b=c", b"POST /a%20b"])
@pytest.mark.parametrize("headers", [[], [(b"transfer-encoding", b"chunked")]])
async def test_a_stream_ends_with_its_connection(
    asks: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    head, body, closed = await answered(b"1.0", headers, EVENTS, asks)
    assert (body, closed) == (b"".join(EVENTS), True)
    assert b"chunked" not in head
    assert b"connection: close" in head


async def test_an_answer_of_known_length_is_as_it_was() -> None:
    head, body, closed = await answered(b"1.0", [(b"Content-Length", b"2")], [b"hi"])
    assert (body, closed) == (b"hi", True)
    assert b"content-length: 2" in head


async def test_who_asks_for_the_head_alone_gets_it() -> None:
    head, body, closed = await answered(b"1.0", [], EVENTS, b"HEAD /a")
    assert (head[:12], body, closed) == (b"HTTP/1.1 200", b"", True)


async def test_others_get_chunks() -> None:
    head, body, closed = await answered(b"1.1", [], EVENTS)
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert b"chunked" in head
    assert not closed
