"""AgentCore as ``agentcore serve`` serves it, with an agent for ``benchmarks.a2a``."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.ports import InboundMessage, TaskHandle
from agentcore.app import create_app, drain_of
from agentcore.cli.serving import (
    bind,
    build_server,
    lasting,
    loop_factory,
    return_large_memory,
    serve_until_stopped,
)
from agentcore.observability.logs import configure_logs
from agentcore.settings import load_settings
from benchmarks.a2a_load import AGENT, CHUNKS, TICK_SECONDS


class Measured:
    """Says nothing, much, or what time it is, as the message asks."""

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        if message.text == "chunks":
            for number in range(CHUNKS):
                await task.append("log", f"line {number}")
        while message.text == "clock":
            await asyncio.sleep(TICK_SECONDS)
            await task.progress(str(time.monotonic_ns()))
        await task.complete("done")


def main(port: int) -> None:
    settings = load_settings(None, overrides={"server": {"port": port}})
    configure_logs(level=settings.server.log_level, form=settings.server.log_format)
    with lasting():
        app = create_app(settings)
    return_large_memory()
    opened = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(of: FastAPI) -> AsyncIterator[None]:
        async with opened(of):
            of.state.holder.services.a2a.hosted.add(Hosting(agent_id=AGENT, agent=Measured()))
            yield

    app.router.lifespan_context = lifespan
    server = build_server(app, drain_of(app), settings)
    with bind(settings) as listening, asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve_until_stopped(server, listening, f"http://127.0.0.1:{port}"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
