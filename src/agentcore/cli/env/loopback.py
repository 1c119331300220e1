"""An environment server of this process, for players of this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@asynccontextmanager
async def served_on_loopback(app: ASGIApp, *, log_level: str | None = None) -> AsyncIterator[str]:
    """``app`` in this event loop on a free port of 127.0.0.1; yields its base URL."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level=log_level,
        ws_per_message_deflate=False,
        access_log=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # With its protocol named: asyncio sets TCP_NODELAY on no other, and answers wait 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        # Its main loop is for signals, which belong to the command.
        await server.startup(sockets=[listening])
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.force_exit = True
            await server.shutdown(sockets=[listening])
