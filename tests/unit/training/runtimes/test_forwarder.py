from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentcore.training.openenv.runtimes.forwarder import HOST, Forwarder, Target
from tests.fakes.waiting import eventually


class Echo:
    """A replica that says its name and then returns what it gets."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.port = 0
        self.connections = 0

    def took(self) -> None:
        self.connections += 1

    def lost(self) -> None:
        self.connections -= 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.name)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def forwarding(*echoes: Echo) -> AsyncIterator[tuple[Forwarder, int]]:
    servers = []
    for echo in echoes:
        server = await asyncio.start_server(echo.serve, HOST, 0)
        echo.port = server.sockets[0].getsockname()[1]
        servers.append(server)

    def pick() -> Target | None:
        return min(echoes, key=lambda echo: echo.connections, default=None)

    async with asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(pick, tasks.create_task)
        yield forwarder, await forwarder.listen(0)
        forwarder.close()
    for server in servers:
        server.close()


async def open_to(port: int) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    return await reader.read(1), reader, writer


async def test_each_connection_goes_to_the_least_busy_and_stays() -> None:
    echoes = Echo(b"a"), Echo(b"b")
    async with forwarding(*echoes) as (_, port):
        opened = [await open_to(port) for _ in range(6)]
        assert sorted(name for name, _, _ in opened) == [b"a", b"a", b"a", b"b", b"b", b"b"]
        for number, (_, reader, writer) in enumerate(opened):
            writer.write(b"%d" % number)
            assert await reader.readexactly(1) == b"%d" % number
        for _, _, writer in opened:
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: not any(echo.connections for echo in echoes))


async def test_much_data_passes_whole_in_both_directions_and_ends_half_by_half() -> None:
    data = bytes(range(256)) * 16384
    async with forwarding(Echo(b"a")) as (_, port):
        _, reader, writer = await open_to(port)
        async with asyncio.TaskGroup() as group:
            received = group.create_task(reader.read(-1))
            writer.write(data)
            await writer.drain()
            writer.write_eof()
        assert received.result() == data
        writer.close()
        await writer.wait_closed()


async def test_without_a_replica_the_connection_is_refused() -> None:
    gone = Echo(b"a")
    async with forwarding() as (_, port):
        assert await ended(port)
    async with forwarding(gone) as (_, port):
        gone.port = 1
        assert await ended(port)
        assert gone.connections == 0


async def ended(port: int) -> bool:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True
    finally:
        writer.transport.abort()


async def test_closing_cuts_what_is_open() -> None:
    async with forwarding(Echo(b"a")) as (forwarder, port):
        _, reader, writer = await open_to(port)
        forwarder.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_taken_port_is_no_reason_not_to_listen() -> None:
    async with forwarding(Echo(b"a")) as (_, port), asyncio.TaskGroup() as tasks:
        second = Forwarder(lambda: None, tasks.create_task)
        assert await second.listen(port) not in {0, port}
        second.close()
