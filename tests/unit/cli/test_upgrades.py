"""A request that offers another protocol is the same request as one that does not."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tests.fakes.asgi import connected
from tests.fakes.cutting import cut

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
OFFERS = [b"", H2C, b"Upgrade: TLS/1.0, h2c\r\nConnection: upgrade\r\n", b"Upgrade: h2c\r\n"]
NOT_A_GET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
Seen = list[tuple[str, str, bytes]]


def request(method: bytes, body: bytes, offer: bytes, *, chunked: bool = False) -> bytes:
    head = b"%b /%d HTTP/1.1\r\nHost: x\r\n%b" % (method, len(body), offer)
    if chunked:
        pieces = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def heard(chunks: list[bytes]) -> tuple[Seen, bytes]:
    """The requests that an application saw, and what was answered."""
    seen: Seen = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        asked = Request(scope, receive)
        seen.append((asked.method, asked.url.path, await asked.body()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with connected(application) as (protocol, wire):
        for chunk in chunks:
            protocol.data_received(chunk)
            for _ in range(4):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
    return seen, wire.written


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"POST", b"PUT", b"GET"]),
            st.binary(max_size=30) | st.just(H2C + b"\r\n"),
            st.sampled_from(OFFERS),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(0, 1000), max_size=6),
)
def test_a_request_is_heard_whole_whatever_it_offers(
    asked: list[tuple[bytes, bytes, bytes, bool]], cuts: list[int]
) -> None:
    sent = b"".join(
        request(method, body, offer, chunked=chunked) for method, body, offer, chunked in asked
    )
    seen, _ = asyncio.run(heard([piece for piece in cut(sent, cuts) if piece]))
    assert seen == [(method.decode(), f"/{len(body)}", body) for method, body, _, _ in asked]


async def test_only_a_get_becomes_a_websocket() -> None:
    seen, answered = await heard([request(b"POST", b"{}", NOT_A_GET)])
    assert seen == [("POST", "/2", b"{}")]
    assert answered.startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    "nonsense",
    [b"no http\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n\x00"],
    ids=["text", "tunnel"],
)
async def test_nonsense_is_refused(nonsense: bytes) -> None:
    seen, answered = await heard([nonsense])
    assert (seen, answered[:12]) == ([], b"HTTP/1.1 400")
