"""Raw sessions for tests of servers. What every server must do is checked by the suite that ships:
agentcore.training.openenv.conformance.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.openenv_servers import Frame

TRIES = 2000


@dataclass(frozen=True)
class Subject:
    """A server to check: a valid action, one with ``filler`` put in, and one that it refuses."""

    url: str
    sessions: int
    action: Frame
    filled: Callable[[str], Frame]
    invalid: Frame
    token: str = ""


class Session:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def raw(self, text: str | bytes) -> Frame:
        await self.send(text)
        return await self.next()

    async def send(self, text: str | bytes) -> None:
        await self._socket.send(text)

    async def next(self) -> Frame:
        frame: Frame = json.loads(await self._socket.recv())
        return frame

    async def ask(self, kind: str, data: Frame | None = None) -> Frame:
        frame = {"type": kind} if data is None else {"type": kind, "data": data}
        return await self.raw(json.dumps(frame))

    async def observe(self, kind: str, data: Frame) -> Frame:
        answer = await self.ask(kind, data)
        assert answer["type"] == "observation", answer
        assert set(answer) == {"type", "data"}
        envelope: Frame = answer["data"]
        assert {"observation", "reward", "done"} <= set(envelope)
        assert not {"reward", "done"} & set(envelope["observation"])
        return envelope

    async def refused(self, code: str, text: str | bytes) -> Frame:
        answer = await self.raw(text)
        assert (answer["type"], answer["data"]["code"]) == ("error", code), answer
        assert answer["data"]["message"]
        data: Frame = answer["data"]
        return data

    async def closed(self) -> int:
        with pytest.raises(ConnectionClosed):
            await self._socket.recv()
        return self._socket.close_code or 0

    def cut(self) -> None:
        self._socket.transport.abort()


@asynccontextmanager
async def session(subject: Subject, query: str = "") -> AsyncIterator[Session]:
    """A session that was let in: a server frees the slot of a closed socket a moment later."""
    for _ in range(TRIES):
        async with knock(subject, query) as one:
            if (await one.ask("state"))["type"] == "state":
                yield one
                return
        await asyncio.sleep(0.01)
    raise AssertionError("no slot became free")


@asynccontextmanager
async def knock(subject: Subject, query: str = "") -> AsyncIterator[Session]:
    """A socket, whatever the server then says."""
    url = subject.url.replace("http", "ws", 1) + "/ws" + query
    headers = {"authorization": f"Bearer {subject.token}"} if subject.token else {}
    async with connect(
        url,
        compression=None,
        ping_interval=None,
        proxy=None,
        max_size=None,
        additional_headers=headers,
    ) as socket:
        yield Session(socket)
