"""The pool and one base URL; test_connection.py has the faults of connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway import transport as module
from agentcore.llm_gateway.connection import Connection
from agentcore.llm_gateway.errors import (
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.transport import ConnectionPool, Exchange, Origin, Transport
from tests.fakes.clock import ManualClock
from tests.fakes.llm_upstream import Upstream, answers, delta, drops, stalls, streams
from tests.fakes.ports import free_port


@dataclass
class Asking:
    pool: ConnectionPool

    async def __call__(self, url: str, method: str = "GET", body: bytes = b"") -> Exchange:
        base, _, path = url.rpartition("/")
        transport = Transport(self.pool, base, provider="p", connect_seconds=60, headers={})
        return await transport.request(transport.head(method, f"/{path}"), body, seconds=60)


@pytest.fixture
def ask(pool: ConnectionPool) -> Asking:
    return Asking(pool)


async def test_nobody_there(ask: Asking) -> None:
    with pytest.raises(UpstreamUnavailable, match="p cannot be reached: Connection refused"):
        await ask(f"http://127.0.0.1:{free_port()}/x")


async def test_no_such_host(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UpstreamUnavailable, match="p cannot be reached"):
        await ask("http://no-such-host.invalid/x")


async def test_what_is_no_name(ask: Asking) -> None:
    with pytest.raises(UpstreamUnavailable, match="is no name of a host"):
        await ask("http://a..b/x")


async def test_a_name_server_that_hangs_holds_one_thread_for_each_name(
    pool: ConnectionPool, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = threading.Event()

    def look_up(host: str) -> list[str]:
        asked.append(host)
        answer.wait(60)
        return ["127.0.0.1"]

    monkeypatch.setattr(module, "_looked_up", look_up)
    origin = Origin("model.example", int(upstream.url.rpartition(":")[2]), False)
    with pytest.raises(UpstreamTimeout):
        await pool.connect(origin, "p", 0.01)
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(pool.connect(origin, "p", 60))
        await asyncio.sleep(0)
        answer.set()
    assert asked == ["model.example"]


async def test_the_next_address_is_tried(
    pool: ConnectionPool, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_looked_up", lambda host: ["127.0.0.9", "127.0.0.1"])
    origin = Origin("model.example", int(upstream.url.rpartition(":")[2]), False)
    (await pool.connect(origin, "p", 60)).abort()


async def test_no_encryption_where_it_is_asked_for(ask: Asking, upstream: Upstream) -> None:
    with pytest.raises(UpstreamUnavailable):
        await ask(f"{upstream.url.replace('http:', 'https:')}/x")


async def test_a_connection_is_used_again(ask: Asking, upstream: Upstream) -> None:
    for _ in range(5):
        exchange = await ask(f"{upstream.v1}/models")
        assert exchange.status == 200
        await exchange.read(60)
        exchange.close()
        exchange.close()
    assert upstream.connections == 1


async def test_an_answer_not_read_to_its_end_costs_the_connection(
    ask: Asking, upstream: Upstream
) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    exchange = await ask(f"{upstream.v1}/chat/completions", "POST", b"{}")
    exchange.close()
    with pytest.raises(RuntimeError, match="closed"):
        await exchange.chunk(60)
    (await ask(f"{upstream.v1}/models")).close()
    assert upstream.connections == 2


async def test_an_old_connection_is_not_trusted(upstream: Upstream, clock: ManualClock) -> None:
    pool = ConnectionPool(clock)
    ask = Asking(pool)
    for _ in range(2):
        exchange = await ask(f"{upstream.v1}/models")
        await exchange.read(60)
        exchange.close()
        clock.advance(module.IDLE_SECONDS + 1)
    assert upstream.connections == 2
    pool.close()


async def test_a_connection_closed_while_idle_is_replaced_unseen(
    ask: Asking, upstream: Upstream
) -> None:
    exchange = await ask(f"{upstream.v1}/models")
    await exchange.read(60)
    exchange.close()
    upstream.close_next = True
    exchange = await ask(f"{upstream.v1}/models")
    assert exchange.status == 200
    exchange.close()
    assert upstream.connections == 2


async def test_who_dies_over_a_request_is_not_asked_again(
    ask: Asking, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 0.0)
    exchange = await ask(f"{upstream.v1}/models")
    await exchange.read(60)
    exchange.close()
    upstream.behaviour = drops()
    with pytest.raises(UpstreamUnavailable, match="closed the connection before it answered"):
        await ask(f"{upstream.v1}/chat/completions", "POST", b"{}")
    assert len(upstream.bodies) == 1


async def test_a_second_connection_gets_no_further_time(
    ask: Asking, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = await ask(f"{upstream.v1}/models")
    await exchange.read(60)
    exchange.close()
    given: list[float] = []
    original = Connection.answered

    async def answered(self: Connection, seconds: float) -> int:
        given.append(seconds)
        return await original(self, seconds)

    monkeypatch.setattr(Connection, "answered", answered)
    upstream.close_next = True
    (await ask(f"{upstream.v1}/models")).close()
    assert given[0] == 60 > given[1]


async def test_an_endless_answer_is_refused(
    ask: Asking, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_ANSWER", 1000)
    upstream.catalogue = answers(b"x" * 900_000)
    exchange = await ask(f"{upstream.v1}/models")
    with pytest.raises(UpstreamMalformed, match="exceeds 1000 bytes"):
        await exchange.read(60)
    exchange.close()


async def test_headers_are_sent_and_cannot_be_forged(upstream: Upstream) -> None:
    pool = ConnectionPool(SystemClock())
    headers = {"Authorization": "Bearer k", "X-Y": "z"}
    transport = Transport(pool, upstream.v1, provider="p", connect_seconds=60, headers=headers)
    (await transport.request(transport.head("GET", "/models"), b"", seconds=60)).close()
    assert upstream.headers[0]["X-Y"] == "z"
    assert upstream.headers[0]["Host"] == upstream.url.removeprefix("http://")
    with pytest.raises(ValueError, match="line break"):
        Transport(pool, "http://h", provider="p", connect_seconds=60, headers={"A": "b\r\nC: d"})
    pool.close()


@pytest.mark.parametrize("url", ["ftp://h", "h", "http://", ""])
def test_what_is_no_address(url: str) -> None:
    pool = ConnectionPool(SystemClock())
    with pytest.raises(ValueError, match="is no http or https address"):
        Transport(pool, url, provider="p", connect_seconds=60, headers={})
