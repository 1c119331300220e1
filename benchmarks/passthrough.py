"""The least a Python gateway can do: Starlette and aiohttp, forwarding bytes.

``python -m benchmarks.passthrough PORT UPSTREAM``
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


def build(upstream: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as app.state.http:
            yield

    async def chat(request: Request) -> Response:
        body = await request.body()
        url = f"{upstream}/v1/chat/completions"
        headers = {"Content-Type": "application/json"}
        answer = await request.app.state.http.post(url, data=body, headers=headers)
        if answer.content_type != "text/event-stream":
            raw = await answer.read()
            return Response(raw, answer.status, media_type="application/json")
        return StreamingResponse(
            answer.content.iter_any(), answer.status, media_type="text/event-stream"
        )

    return Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan
    )


if __name__ == "__main__":
    uvicorn.run(
        build(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
