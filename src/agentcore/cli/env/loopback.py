"""An environment server of this process, for players of this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from agentcore.cli.request_heads import KEEP_ALIVE_SECONDS
from agentcore.cli.websockets import LeanWebSockets

if TYPE_CHECKING:
    from starlette.types import ASGIApp

TICK = 0.002


@asynccontextmanager
async def served_on_loopback(
    app: ASGIApp, *, log_level: str | None = None, farewell: float = 0.1
) -> AsyncIterator[str]:
    """``app`` in this event loop on a free port of 127.0.0.1; yields its base URL.

    In the end its connections have ``farewell`` seconds to finish.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level=log_level,
        ws=LeanWebSockets,
        ws_per_message_deflate=False,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
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
            await _stop(server, farewell)


async def _stop(server: uvicorn.Server, seconds: float) -> None:
    """As uvicorn stops, which sleeps for a tenth of a second also where nothing is open."""
    for each in server.servers:
        each.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while state.connections or state.tasks:  # noqa: ASYNC110 -- uvicorn tells nobody
                await asyncio.sleep(TICK)
