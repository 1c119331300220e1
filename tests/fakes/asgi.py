"""The near ends of a server: an application that shows what it is handed, and a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from agentcore.cli.upgrades import PlainHttp
from agentcore.kit.errors import AgentCoreError, problem
from agentcore.kit.security import Principal


class Seen:
    """Answers 200 and remembers the scopes."""

    def __init__(self) -> None:
        self.scopes: list[MutableMapping[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await JSONResponse({"path": scope["path"]})(scope, receive, send)


class As:
    """Lets everybody in as the principal of the moment."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self.app = app
        self.principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = self.principal
        await self.app(scope, receive, send)


def told_as_problems(app: Starlette) -> None:
    """Errors of ours are answered as the application answers them."""

    async def told(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AgentCoreError)
        return JSONResponse(problem(error), error.http_status)

    app.add_exception_handler(AgentCoreError, told)


def client(app: ASGIApp, root: str = "") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url=f"http://test{root}")


class Wire(asyncio.Transport):
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@asynccontextmanager
async def connected(
    app: ASGIApp, kind: type[PlainHttp] = PlainHttp
) -> AsyncIterator[tuple[PlainHttp, Wire]]:
    """A caller's connection to uvicorn, as the event loop would hand it over."""
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", date_header=False, timeout_keep_alive=600
    )
    config.load()
    state = ServerState()
    wire = Wire()
    protocol = kind(config, state, {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    yield protocol, wire
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks, return_exceptions=True)
