"""An aiohttp application on a free loopback port: how the fakes of foreign services are served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def listening(app: web.Application, *, cancelling: bool = False) -> AsyncIterator[str]:
    """Gives its base URL. ``cancelling``: who leaves ends the handler, too."""
    runner = web.AppRunner(app, handler_cancellation=cancelling, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
