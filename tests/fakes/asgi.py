"""An ASGI application small enough to see what a middleware hands it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import httpx2
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Seen:
    """Answers 200 and remembers the scopes."""

    def __init__(self) -> None:
        self.scopes: list[MutableMapping[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await JSONResponse({"path": scope["path"]})(scope, receive, send)


def client(app: ASGIApp) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://test")
