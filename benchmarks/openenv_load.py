"""A load generator for environments, a process of its own: reads a Job, prints an Outcome.

    python -m benchmarks.openenv_load CORE ANSWER < JOB

Runs under this checkout's interpreter with our client and under .venv-peers with upstream's, so it
imports either only when asked for, and the event loop is the one that ``asyncio.run`` starts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import cpu_seconds, pin

if TYPE_CHECKING:
    from agentcore.kit.jsonvalue import JsonValue

MESSAGE = "hello"
REWARD = len(MESSAGE) / 10
# One step; returns the reward, so that a client that answers anything is not the fastest.
Play = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Job:
    client: str
    url: str
    action: dict[str, JsonValue]
    sessions: int = 1
    seconds: float = 1.0
    server_pid: int = 0


@dataclass
class Outcome:
    """Seconds per step; what this process and the server used for all of them."""

    latencies: list[float]
    elapsed: float
    connecting: float
    cpu: float
    server_cpu: float


async def agentcore(stack: AsyncExitStack, url: str, action: dict[str, JsonValue]) -> Play:
    from agentcore.training.openenv.client import Action, OpenEnvClient  # noqa: PLC0415 - its client alone has it

    client = await stack.enter_async_context(OpenEnvClient(url))
    await client.reset(seed=1)
    parameters = {name: value for name, value in action.items() if name != "type"}

    async def play() -> float:
        # Made anew for every step, as an agent makes it.
        return (await client.step(Action(type="say", parameters={**parameters}))).reward

    return play


async def official(stack: AsyncExitStack, url: str, action: dict[str, JsonValue]) -> Play:
    from openenv.core.generic_client import GenericEnvClient  # noqa: PLC0415 - its client alone has it

    client = await stack.enter_async_context(GenericEnvClient(base_url=url))
    await client.reset(seed=1)

    async def play() -> float:
        reward: float = (await client.step(dict(action))).reward
        return reward

    return play


CLIENTS = {"agentcore": agentcore, "official": official}


async def run(job: Job) -> Outcome:
    async with AsyncExitStack() as stack:
        began = time.perf_counter()
        plays = [await CLIENTS[job.client](stack, job.url, job.action) for _ in range(job.sessions)]
        connecting = time.perf_counter() - began
        await asyncio.gather(*(_loop(play, time.perf_counter() + 0.2) for play in plays))
        # Connecting is over: it is measured by itself.
        server, used = cpu_seconds(job.server_pid), time.process_time()
        began = time.perf_counter()
        parts = await asyncio.gather(*(_loop(play, began + job.seconds) for play in plays))
        elapsed, used = time.perf_counter() - began, time.process_time() - used
        server = cpu_seconds(job.server_pid) - server
    return Outcome([each for part in parts for each in part], elapsed, connecting, used, server)


async def _loop(play: Play, end: float) -> list[float]:
    latencies: list[float] = []
    while (began := time.perf_counter()) < end:
        reward = await play()
        latencies.append(time.perf_counter() - began)
        assert reward == REWARD, reward
    return latencies


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    outcome = asyncio.run(run(Job(**json.load(sys.stdin))))
    Path(sys.argv[2]).write_text(json.dumps(asdict(outcome)))
