"""A Parallax scheduler on a loopback port that can be given another model, and misbehave at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.listening import listening
from tests.fakes.llm_upstream import SERVING, events_of, fails

OLD = "Qwen/Qwen3-8B"
NEW = "Qwen/Qwen3-0.6B"


@dataclass
class FakeScheduler:
    """``broken`` models never come up; ``lying`` ones are said to, and answer 503.

    ``looks``: status reports until a model that comes up has done so.
    """

    url: str = ""
    model: str = OLD
    looks: int = 1
    broken: set[str] = field(default_factory=set)
    lying: set[str] = field(default_factory=set)
    orders: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses_init: bool = False
    on_init: Callable[[], None] = lambda: None
    _left: int = 0

    async def init(self, request: web.Request) -> web.StreamResponse:
        self.orders.append(await request.json())
        self.on_init()
        self.model = self.orders[-1]["model_name"]
        self._left = self.looks
        if self.refuses_init:
            return web.json_response({"type": "scheduler_init", "error": "no"}, status=500)
        return web.json_response({"type": "scheduler_init", "data": self.orders[-1]})

    def status(self) -> dict[str, Any]:
        self._left = max(0, self._left - 1)
        up = self.model not in self.broken and not self._left
        node = {**SERVING["node_list"][0], "status": "available" if up else "waiting"}
        return {
            **SERVING,
            "status": "available" if up else "waiting",
            "model_name": self.model,
            "node_list": [node],
            "init_nodes_num": 2,
        }

    async def status_json(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"type": "cluster_status", "data": self.status()})

    async def catalogue(self, request: web.Request) -> web.StreamResponse:
        names = [OLD, NEW, *sorted(self.broken | self.lying)]
        data = [{"name": name, "vram_gb": 1} for name in dict.fromkeys(names)]
        return web.json_response({"type": "model_list", "data": data})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body["model"])
        if self.model in self.broken | self.lying:
            error = {"message": "not ready", "type": "x", "code": "routing_not_ready"}
            return await fails(503, {"error": error})(request)
        parts = b"".join(events_of(f"I am {self.model}", usage=True))
        return web.Response(body=parts, content_type="text/event-stream")


@asynccontextmanager
async def parallax_scheduler() -> AsyncIterator[FakeScheduler]:
    fake = FakeScheduler()
    app = web.Application()
    app.router.add_post("/scheduler/init", fake.init)
    app.router.add_get("/model/list", fake.catalogue)
    app.router.add_get("/cluster/status_json", fake.status_json)
    app.router.add_post("/v1/chat/completions", fake.chat)
    async with listening(app) as fake.url:
        yield fake
