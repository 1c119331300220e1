"""Faults of real connections; the conformance suite of the providers has the rest."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from yarl import URL

from agentcore.llm_gateway import transport as module
from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamTimeout, UpstreamUnavailable
from agentcore.llm_gateway.transport import Transport
from tests.fakes.llm_upstream import Upstream, answers


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def transport(http: aiohttp.ClientSession) -> Transport:
    return Transport(http, "p", connect=0.2)


async def test_nobody_there(transport: Transport) -> None:
    url = URL(f"http://127.0.0.1:{closed_port()}/")
    with pytest.raises(UpstreamUnavailable, match="p cannot be reached: Connect"):
        await transport.get(url, {}, seconds=1)


async def test_no_such_host(transport: Transport) -> None:
    with pytest.raises(UpstreamUnavailable):
        await transport.get(URL("http://no-such-host.invalid/"), {}, seconds=5)


async def test_no_encryption_where_it_is_asked_for(
    transport: Transport, upstream: Upstream
) -> None:
    with pytest.raises(UpstreamUnavailable):
        await transport.get(URL(upstream.url.replace("http:", "https:")), {}, seconds=1)


@pytest.mark.parametrize(
    "greeting",
    [b"", b"HTTP/1.1 banana\r\n\r\n", b"\x16\x03\x01\x00garbage", b"HTTP/1.1 200 OK\r\nX:"],
    ids=["silence", "no status", "noise", "half a head"],
)
async def test_what_does_not_speak_http(transport: Transport, greeting: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(greeting)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnavailable):
            await transport.get(URL(f"http://127.0.0.1:{port}/"), {}, seconds=1)


async def test_a_body_that_drips_is_cut_off_in_time(transport: Transport) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        exchange = await transport.get(URL(f"http://127.0.0.1:{port}/"), {}, seconds=1)
        with pytest.raises(UpstreamTimeout):
            await exchange.read(0.05)
        exchange.close()


async def test_an_endless_answer_is_refused(
    transport: Transport, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_ANSWER", 1000)
    upstream.behaviour = answers(b"x" * 5000)
    url = URL(f"{upstream.v1}/chat/completions")
    exchange = await transport.post(url, b"{}", {}, seconds=1)
    with pytest.raises(UpstreamMalformed, match="exceeds 1000 bytes"):
        await exchange.read(1)
    exchange.close()
