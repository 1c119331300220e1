"""Many steps over many sessions, and what client and server keep of them.

``python -m benchmarks openenv --soak 100000``
"""

from __future__ import annotations

import asyncio
import gc
import os

from agentcore.training.openenv.client import Action, OpenEnvClient
from benchmarks.openenv import our_server
from benchmarks.processes import resident_mib

SESSIONS = 16
EPISODE = 100
# After so many episodes a session is given back, and another one taken.
EPISODES = 10
PARTS = 10
# Of the parts, the first ones fill caches; what the others add is growth.
WARM = 3
MOST_GROWTH_MIB = 2.0


def run(steps: int) -> int:
    """0 if neither process grew by more than ``MOST_GROWTH_MIB`` once it was warm."""
    with our_server() as server:
        pids = {"client": os.getpid(), "server": server.pid}
        sizes = asyncio.run(_soak(server.url, max(1, steps // PARTS), pids))
    grown = {name: size[-1] - size[WARM] for name, size in sizes.items()}
    for name, growth in grown.items():
        verdict = "kept" if growth <= MOST_GROWTH_MIB else "MISSED"
        print(f"{name}: {growth:+.2f} MiB, goal at most {MOST_GROWTH_MIB:g}: {verdict}")
    return int(max(grown.values()) > MOST_GROWTH_MIB)


async def _soak(url: str, steps: int, pids: dict[str, int]) -> dict[str, list[float]]:
    clients = [OpenEnvClient(url) for _ in range(SESSIONS)]
    sizes: dict[str, list[float]] = {name: [] for name in pids}
    # What was there before is looked at once.
    gc.collect()
    gc.freeze()
    for part in range(PARTS):
        each = -(-steps // SESSIONS)
        await asyncio.gather(*(_play(env, each) for env in clients))
        gc.collect()
        for name, pid in pids.items():
            sizes[name].append(resident_mib(pid))
        told = ", ".join(f"{name} {size[-1]:.1f} MiB" for name, size in sizes.items())
        print(f"{(part + 1) * each * SESSIONS} steps: {told}", flush=True)
    await asyncio.gather(*(env.close() for env in clients))
    return sizes


async def _play(env: OpenEnvClient, steps: int) -> None:
    for step in range(steps):
        if step % (EPISODE * EPISODES) == 0:
            await env.close()
        if step % EPISODE == 0:
            await env.reset(seed=step)
        result = await env.step(Action(type="say", parameters={"message": str(step)}))
        assert result.observation.state == {"echo": str(step)}
