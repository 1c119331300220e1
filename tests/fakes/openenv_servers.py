"""Servers for tests of the OpenEnv side: ours in this event loop, and a scripted foreign one."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from agentcore.cli.env.loopback import served_on_loopback
from agentcore.kit.drain import Drain
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.training.openenv.client import Action, OpenEnvClient
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.serving.standalone import GivenTokens, standalone_app

Frame = dict[str, Any]


def serving(app: ASGIApp) -> AbstractAsyncContextManager[str]:
    """``app`` behind a real uvicorn on a free loopback port; gives its base URL."""
    return served_on_loopback(app, farewell=30.0)


def envs_app(
    environments: Mapping[str, EnvironmentFactory], config: EnvironmentServerConfig
) -> Starlette:
    """One server per environment, each at ``/envs/{name}``, as the app has them."""
    mounts = [
        Mount(f"/envs/{name}", EnvironmentServer(name, factory, config))
        for name, factory in environments.items()
    ]
    return Starlette(routes=mounts)


class Runs(Protocol):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def run(self) -> None: ...


# Callers of a server behind ``behind_a_door``, by their tokens.
CALLERS = {
    "boss": Principal(
        subject="boss", tenant="a", scopes=frozenset({"env:act", "env:control"}), private=False
    ),
    "second": Principal(subject="second", tenant="a", scopes=frozenset({"env:act", "env:control"})),
    "player": Principal(subject="player", tenant="a", scopes=frozenset({"env:act"})),
    "control": Principal(subject="control", tenant="a", scopes=frozenset({"env:control"})),
    "stranger": Principal(
        subject="stranger", tenant="b", scopes=frozenset({"env:act", "env:control"})
    ),
}


def behind_a_door(app: Runs) -> ASGIApp:
    """``app`` for callers of several kinds; the name of each is its token."""
    return standalone_app(app, GivenTokens([*CALLERS.items()]), Drain())


@asynccontextmanager
async def running(app: Runs, served: ASGIApp | None = None) -> AsyncIterator[str]:
    """The same with what the app does by itself."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(app.run())
        await asyncio.sleep(0)
        async with serving(served or app) as url:
            yield url
        task.cancel()


class Hang:
    """An answer that never comes."""


class Drop:
    """The connection is cut without a close frame."""


@dataclass(frozen=True)
class Leave:
    """The server closes the session, after ``last`` if given."""

    last: Frame | None = None
    code: int = 1000


Reply = Frame | str | bytes | type[Hang] | type[Drop] | Leave

METADATA: JsonObject = {"name": "foreign", "description": "somebody else's", "version": None}
FLAT_ACTION: JsonObject = {
    "title": "EchoAction",
    "type": "object",
    "properties": {"message": {"type": "string"}, "metadata": {"type": "object"}},
    "required": ["message"],
    "additionalProperties": False,
}
SCHEMA: JsonObject = {"action": FLAT_ACTION, "observation": {"type": "object"}, "state": {}}


def observation(reward: float | bool | None = None, *, done: bool = False, **extra: Any) -> Frame:
    return {
        "type": "observation",
        "data": {"observation": {"echo": "x"}, "reward": reward, "done": done, **extra},
    }


def refusal(code: str, message: str = "no", **extra: Any) -> Frame:
    return {"type": "error", "data": {"message": message, "code": code, **extra}}


SAY = Action(type="say", parameters={"message": "x"})
FULL = refusal("CAPACITY_REACHED", "full", active_sessions=4, max_sessions=4)


def client(url: str, **options: Any) -> OpenEnvClient:
    patient = {"timeout": 60.0, "connect_timeout": 60.0, "max_retries": 1}
    return OpenEnvClient(url, **{**patient, **options})


@dataclass
class ScriptedServer:
    """An OpenEnv server that answers as it is told: ``steps`` one by one, the rest as usual."""

    steps: list[Reply] = field(default_factory=list)
    resets: list[Reply] = field(default_factory=list)
    states: list[Reply] = field(default_factory=list)
    pages: dict[str, list[tuple[int, object]]] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=lambda: METADATA)
    schema: Mapping[str, object] = field(default_factory=lambda: SCHEMA)
    received: list[Frame] = field(default_factory=list)
    requested: list[tuple[str, str]] = field(default_factory=list)
    sessions: int = 0
    open_sessions: int = 0
    tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        async with self.listening(port) as server:
            scheme = "http" if self.tls is None else "https"
            yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Server]:
        async with serve(
            self._converse,
            "127.0.0.1",
            port,
            process_request=self._page,
            max_size=None,
            ssl=self.tls,
            close_timeout=0.2,
        ) as server:
            yield server
            # Those who hang must not hold up the stop.
            for connection in list(server.connections):
                connection.transport.abort()

    def _page(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path
        self.requested.append((path, request.headers.get("Authorization", "")))
        planned = self.pages.get(path)
        if planned:
            status, body = planned.pop(0)
        elif path == "/ws":
            return None
        elif path == "/metadata":
            status, body = 200, self.metadata
        elif path == "/schema":
            status, body = 200, self.schema
        else:
            status, body = 404, {"detail": "Not Found"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = Headers([("Content-Length", str(len(content))), ("Connection", "close")])
        return Response(status, HTTPStatus(status).phrase, headers, content)

    async def _converse(self, connection: ServerConnection) -> None:
        self.sessions += 1
        self.open_sessions += 1
        try:
            async for text in connection:
                frame: Frame = json.loads(text)
                self.received.append(frame)
                if not await self._reply(connection, self._chosen(frame)):
                    return
        finally:
            self.open_sessions -= 1

    def _chosen(self, frame: Frame) -> Reply:
        plans: dict[str, tuple[list[Reply], Reply]] = {
            "step": (self.steps, observation(0.5)),
            "reset": (self.resets, observation()),
            "state": (self.states, {"type": "state", "data": {"step_count": 0}}),
            "close": ([], Leave()),
        }
        planned, usual = plans[frame["type"]]
        return planned.pop(0) if planned else usual

    async def _reply(self, connection: ServerConnection, reply: Reply) -> bool:
        if reply is Hang:
            return True
        if reply is Drop:
            connection.transport.abort()
            return False
        if isinstance(reply, Leave):
            if reply.last is not None:
                await connection.send(json.dumps(reply.last))
            await connection.close(reply.code)
            return False
        if isinstance(reply, bytes):
            # Of a text message, whatever they are.
            await connection.send(reply, text=True)
            return True
        await connection.send(reply if isinstance(reply, str) else json.dumps(reply))
        return True


def sent(received: Sequence[Frame], kind: str) -> list[Frame]:
    return [frame for frame in received if frame["type"] == kind]
