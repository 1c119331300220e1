"""The harness measures what it says, with its own environments on a real server."""

from __future__ import annotations

import os

from agentcore.training.openenv.server import EnvironmentServer
from benchmarks.pool import Busy, Figures, Idle, measure
from tests.fakes.openenv_servers import serving


async def test_what_an_environment_computes_is_the_servers_time() -> None:
    found = []
    for environment in (Idle, Busy):
        async with serving(EnvironmentServer(environment.name, environment)) as url:
            found.append(await measure([url, url], [os.getpid()], 0.05))
    idle, busy = found
    assert idle[0] > busy[0] > 0
    assert busy[2] > 500, "half a millisecond a step, in this process"
    assert str(Figures("Busy", 2, *busy)).startswith("Busy  ")
