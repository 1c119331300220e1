from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from starlette.types import Message, Receive, Scope, Send

from agentcore.kit.access import Access, Rule
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import AgentCoreError, Unauthenticated
from agentcore.kit.security import SERVICE, Principal
from agentcore.kit.standing import still_good


class Register:
    """Knows one caller, for as long as ``error`` is None."""

    def __init__(self, name: str = "ann") -> None:
        self.error: AgentCoreError | None = None
        self._principal = Principal(subject=name, tenant=name, scopes=frozenset({"act"}))

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        if self.error is not None:
            raise self.error
        return self._principal


class Socket:
    """A WebSocket of which nothing arrives after the handshake."""

    def __init__(self, register: Register) -> None:
        self.sent: list[Message] = []
        self.opened, self.ended = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None
        self._door = Access(
            self._application,
            authenticator=lambda: register,
            rules=[Rule("/games", "act")],
            refuse=_refuse,
            recheck_seconds=0.01,
        )

    async def run(self) -> None:
        scope: Scope = {"type": "websocket", "path": "/games", "headers": []}
        await self._door(scope, self._receive, self._send)

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "websocket.accept"})
            self.opened.set()
            if self.fault is not None:
                raise self.fault
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def _receive(self) -> Message:
        raise AssertionError

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def _refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    raise error


async def test_a_socket_ends_when_its_credential_does() -> None:
    register = Register()
    socket = Socket(register)
    async with asyncio.TaskGroup() as group:
        group.create_task(socket.run())
        await socket.opened.wait()
        await asyncio.sleep(0.03)
        assert not socket.ended.is_set()
        register.error = Unauthenticated("expired")
    assert socket.ended.is_set()
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.sent[1]["code"] == 1008


async def test_the_service_itself_keeps_its_sockets() -> None:
    register = Register(SERVICE)
    socket = Socket(register)
    running = asyncio.ensure_future(socket.run())
    await socket.opened.wait()
    register.error = Unauthenticated("expired")
    await asyncio.sleep(0.03)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_fault_of_the_application_arrives_as_it_is() -> None:
    socket = Socket(Register())
    socket.fault = ConnectionResetError("the peer left")
    with pytest.raises(ConnectionResetError):
        await socket.run()


async def test_nobody_is_sent_away_because_the_database_is() -> None:
    register = Register()
    assert await still_good(lambda: register, {})
    register.error = StorageUnavailable("away")
    assert await still_good(lambda: register, {})
    register.error = Unauthenticated("revoked")
    assert not await still_good(lambda: register, {})
