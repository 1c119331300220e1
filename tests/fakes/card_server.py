"""A remote agent as far as the registry looks at one: a card at the well-known place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from agentcore.a2a_protocol.registry.reading import WELL_KNOWN
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.listening import listening

CARD: JsonObject = {
    "name": "Poet",
    "version": "2.0.0",
    "url": "https://poet.example/a2a",
    "capabilities": {"streaming": True},
    "skills": [{"id": "ode", "tags": ["verse"]}],
}


@dataclass
class CardServer:
    """What it answers may be changed at any time; ``go`` unset makes it hang."""

    url: str = ""
    body: bytes = field(default_factory=lambda: jsonvalue.dumps(CARD))
    status: int = 200
    etag: str = '"1"'
    headers: dict[str, str] = field(default_factory=dict)
    path: str = WELL_KNOWN
    asked: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def card_url(self) -> str:
        return self.url + self.path

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await self.go.wait()
        if request.path != self.path:
            return web.Response(status=404)
        if request.headers.get("if-none-match") == self.etag:
            return web.Response(status=304)
        headers = {"etag": self.etag, **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)


@asynccontextmanager
async def card_server() -> AsyncIterator[CardServer]:
    server, app = CardServer(), web.Application()
    server.go.set()
    app.router.add_get("/{path:.*}", server.answer)
    async with listening(app, cancelling=True) as url:
        server.url = url
        yield server
