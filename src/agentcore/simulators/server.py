"""Serve a simulated cluster: inside a test or a demo, or as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from agentcore.kit.clock import Clock, SystemClock
from agentcore.kit.http import origin
from agentcore.simulators.cluster import SimulatedCluster
from agentcore.simulators.errors import ClusterAddressUnavailable
from agentcore.simulators.faults import FaultBoard
from agentcore.simulators.journal import RequestJournal
from agentcore.simulators.models import ClusterConfig, Fault

# The status stream never ends by itself; a clean stop must not wait for its reader.
SHUTDOWN_SECONDS = 0.2
BACKLOG = 1024
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """``base_url`` is what a provider is configured with: no path, no trailing slash."""

    base_url: str
    config: ClusterConfig
    requests: RequestJournal
    faults: FaultBoard

    def fail(self, *faults: Fault) -> None:
        """Put these faults in force instead of the present ones; none: heal."""
        self.faults.replace(faults)

    @property
    def banner(self) -> str:
        config = self.config
        return (
            f"Simulated Parallax {config.role} on {self.base_url}: {config.model}, "
            f"{config.nodes} nodes, capacity {config.capacity}. "
            "Its model is a script: it reads rules from its prompt, it does not think."
        )


@asynccontextmanager
async def serve_cluster(
    config: ClusterConfig, *, clock: Clock = CLOCK
) -> AsyncIterator[RunningCluster]:
    """A listening cluster; closed, with its open connections, on exit.

    Raises:
        ClusterAddressUnavailable: the address is in use, not ours or not permitted.
    """
    cluster = SimulatedCluster(config, clock)
    runner = web.AppRunner(
        cluster.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        await _listen(runner, config)
        yield RunningCluster(_url(runner), config, cluster.journal, cluster.faults)
    finally:
        await runner.cleanup()


def run_cluster(config: ClusterConfig, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` gets the banner once the port answers."""
    asyncio.run(_until_told(config, announce))


async def _until_told(config: ClusterConfig, announce: Callable[[str], None]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with serve_cluster(config) as cluster:
        announce(cluster.banner)
        await told.wait()


async def _listen(runner: web.AppRunner, config: ClusterConfig) -> None:
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
    except OSError as error:
        # asyncio wraps the reason in a sentence of its own; name resolution has negative numbers.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error)
        detail = f"cannot listen on {config.host}:{config.port}: {reason}"
        hint = "take another --port, or 0 for a free one"
        raise ClusterAddressUnavailable(detail, hint=hint) from error


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return origin(host, port)
