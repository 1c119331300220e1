"""A model provider on a loopback port: speaks OpenAI's wire, misbehaves on request, remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.listening import listening

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]

# As a part of a stream: long enough for the parts before it to arrive alone.
PAUSE = b""
PAUSE_SECONDS = 0.03
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
SERVING: dict[str, Any] = {
    "status": "available",
    "model_name": "Qwen/Qwen3-8B",
    "init_nodes_num": 1,
    "node_join_command": None,
    "node_list": [
        {
            "node_id": "node-1",
            "status": "available",
            "gpu_num": 1,
            "gpu_name": "NVIDIA L4",
            "gpu_memory": 24,
        }
    ],
    "need_more_nodes": False,
    "max_running_request": 8,
}


@dataclass
class Upstream:
    """``behaviours`` are used up one per call; then ``behaviour`` answers."""

    url: str = ""
    behaviour: Behaviour = field(default_factory=lambda: says("Hello there!"))
    behaviours: list[Behaviour] = field(default_factory=list)
    catalogue: Behaviour | None = None
    reporting: Behaviour | None = None
    exposition: Behaviour = field(default_factory=lambda: fails(404))
    status: dict[str, Any] | None = None
    models: list[str] = field(default_factory=lambda: ["Qwen/Qwen3-8B"])
    models_per_page: int | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    close_next: bool = False
    in_flight: int = 0
    cut_off: int = 0
    status_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _known: set[object] = field(default_factory=set)

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"

    async def chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.raw.append(raw)
        self.paths.append(request.path)
        self.bodies.append(json.loads(raw))
        self.headers.append(dict(request.headers))
        behave = self.behaviours.pop(0) if self.behaviours else self.behaviour
        self.in_flight += 1
        try:
            return await behave(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cut_off += 1
            raise
        finally:
            self.in_flight -= 1

    async def meet(self, request: web.Request, handler: Behaviour) -> web.StreamResponse:
        """Counts connections; with ``close_next`` the next request finds its one closed."""
        if request.protocol not in self._known:
            self._known.add(request.protocol)
            self.connections += 1
        elif self.close_next and request.transport is not None:
            self.close_next = False
            request.transport.abort()
        return await handler(request)

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self.catalogue is not None:
            return await self.catalogue(request)
        data = [{"id": name, "object": "model"} for name in self.models]
        if self.models_per_page is None:
            return web.json_response({"object": "list", "data": data})
        after = request.query.get("after_id")
        start = self.models.index(after) + 1 if after else 0
        page = data[start : start + self.models_per_page]
        return web.json_response(
            {
                "data": page,
                "first_id": page[0]["id"],
                "last_id": page[-1]["id"],
                "has_more": start + self.models_per_page < len(data),
            }
        )

    def tell(self, **changes: Any) -> None:
        """Change the cluster's status; its followers hear it at once."""
        self.status = {**(self.status or SERVING), **changes}
        self.status_changed.set()
        self.status_changed = asyncio.Event()

    async def status_json(self, request: web.Request) -> web.StreamResponse:
        if self.reporting is not None:
            return await self.reporting(request)
        if self.status is None:
            return web.Response(status=404)
        return web.json_response({"type": "cluster_status", "data": self.status})

    async def expose(self, request: web.Request) -> web.StreamResponse:
        return await self.exposition(request)

    async def status_stream(self, request: web.Request) -> web.StreamResponse:
        if self.status is None:
            return web.Response(status=404)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        while True:
            report = {"type": "cluster_status", "data": self.status}
            await response.write(json.dumps(report).encode() + b"\n")
            await self.status_changed.wait()


@asynccontextmanager
async def llm_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()

    @web.middleware
    async def meet(request: web.Request, handler: Behaviour) -> web.StreamResponse:
        return await upstream.meet(request, handler)

    app = web.Application(middlewares=[meet])
    for api in ("chat/completions", "responses", "embeddings", "messages"):
        app.router.add_post(f"/v1/{api}", upstream.chat)
    app.router.add_post("/v1/models/{call:.+}", upstream.chat)
    app.router.add_get("/v1/models", upstream.list_models)
    app.router.add_get("/cluster/status_json", upstream.status_json)
    app.router.add_get("/cluster/status", upstream.status_stream)
    app.router.add_get("/metrics", upstream.expose)
    async with listening(app, cancelling=True) as upstream.url:
        yield upstream


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "Qwen/Qwen3-8B",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def event(document: dict[str, Any] | str) -> bytes:
    data = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return f"data: {data}\n\n".encode()


def delta(text: str | None = None, *, finish: str | None = None, role: bool = False) -> bytes:
    content: dict[str, Any] = {"role": "assistant", "content": ""} if role else {}
    if text is not None:
        content["content"] = text
    choice = {"index": 0, "delta": content, "finish_reason": finish}
    return event(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "Qwen/Qwen3-8B",
            "choices": [choice],
        }
    )


def usage_event() -> bytes:
    return event(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    )


def events_of(text: str, *, usage: bool) -> list[bytes]:
    """A whole stream, a word per event."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].rstrip()
    tail = [usage_event()] if usage else []
    return [
        delta(role=True),
        *(delta(word) for word in words),
        delta(finish="stop"),
        *tail,
        event("[DONE]"),
    ]


def says(text: str) -> Behaviour:
    """Answer well, plain or streamed as asked."""

    async def behave(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(completion(text))
        options = body.get("stream_options") or {}
        return await streamed(request, events_of(text, usage=options.get("include_usage") is True))

    return behave


def streams(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Send these bytes as an event stream, then end well or do ``then``."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = await streamed(request, list(parts), end=then is None)
        return response if then is None else await then(request)

    return behave


def fails(status: int, body: Any = None, **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = {"message": f"status {status}", "type": "x", "param": None, "code": "x"}

    async def behave(request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, content_type="text/html", headers=named)
        document = {"error": error} if body is None else body
        return web.json_response(document, status=status, headers=named)

    return behave


def answers(body: bytes, content_type: str = "application/json") -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)

    return behave


def stalls() -> Behaviour:
    """Say nothing until the caller leaves."""

    async def behave(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    return behave


def drops() -> Behaviour:
    """Close the connection."""

    async def behave(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    return behave


def truncated(document: dict[str, Any]) -> Behaviour:
    """Promise more bytes than are sent."""

    async def behave(request: web.Request) -> web.StreamResponse:
        body = json.dumps(document).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    return behave


async def streamed(
    request: web.Request, parts: list[bytes], *, end: bool = True
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for part in parts:
        if part == PAUSE:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            await response.write(part)
    if end:
        await response.write_eof()
    return response
