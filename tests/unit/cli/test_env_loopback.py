from __future__ import annotations

import httpx2

from agentcore.cli.env.loopback import served_on_loopback
from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.server import EnvironmentServer


async def test_it_serves_until_the_block_ends() -> None:
    async with served_on_loopback(EnvironmentServer("guess_number", GuessNumber)) as url:
        assert url.startswith("http://127.0.0.1:")
        left_open = OpenEnvClient(url)
        await left_open.reset(1)
    try:
        httpx2.get(url, timeout=1.0, trust_env=False)
    except httpx2.TransportError:
        return
    raise AssertionError("it still answers")
