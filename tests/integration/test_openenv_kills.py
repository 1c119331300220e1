"""Many sessions of a server that is a process of its own, and what they make of its death."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from agentcore.training.openenv.client import Action, OpenEnvClient, SessionLost
from agentcore.training.openenv.errors import OpenEnvError
from tests.fakes.ports import free_port

ROOT = Path(__file__).parent.parent.parent
SESSIONS = 64
LARGE = 12 * 1024 * 1024


def say(message: str) -> Action:
    return Action(type="say", parameters={"message": message})


@asynccontextmanager
async def echo_server(port: int, home: Path) -> AsyncIterator[Process]:
    command = ["env", "serve", "benchmarks.openenv_echo:Echo", "--port", str(port), "--no-auth"]
    env = {**os.environ, "AGENTCORE_HOME": str(home), "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentcore", *command, env=env, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        for _ in range(600):
            if await listens(port):
                break
            assert server.returncode is None, "the server ended before it served"
            await asyncio.sleep(0.05)
        yield server
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_sessions_never_mix_and_a_killed_server_loses_them_all(tmp_path: Path) -> None:
    port, chance = free_port(), Random(7)
    url = f"http://127.0.0.1:{port}"
    clients = [OpenEnvClient(url, max_retries=10) for _ in range(SESSIONS)]
    async with echo_server(port, tmp_path) as server:
        await interleaved(clients, chance)
        # In the middle of an episode, of a step, and of a frame that is still being sent.
        steps = [asyncio.ensure_future(env.step(say(f"s{n}"))) for n, env in enumerate(clients)]
        steps.append(asyncio.ensure_future(clients[0].step(say("x" * LARGE))))
        await asyncio.sleep(0.002)
        server.kill()
        for number, outcome in enumerate(await asyncio.gather(*steps, return_exceptions=True)):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, SessionLost), outcome
            else:
                assert outcome.observation.state == {"echo": f"s{number}"}
        for env in clients:
            with pytest.raises(SessionLost):
                await env.step(say("into another episode?"))
    async with echo_server(port, tmp_path):
        for env in clients:
            # The server is back, the episode is not.
            with pytest.raises(SessionLost):
                await env.step(say("into another episode?"))
        await interleaved(clients[:8], chance)
        await asyncio.gather(*(env.close() for env in clients))


async def interleaved(clients: list[OpenEnvClient], chance: Random) -> None:
    """Every session gets its own answers, however their steps are mixed."""
    await asyncio.gather(*(env.reset(seed=n) for n, env in enumerate(clients)))
    counts = [0] * len(clients)

    async def play(number: int) -> None:
        counts[number] += 1
        message = f"{number}:{counts[number]}"
        result = await clients[number].step(say(message))
        assert result.observation.state == {"echo": message}

    order = [number for number in range(len(clients)) for _ in range(5)]
    chance.shuffle(order)
    for start in range(0, len(order), 16):
        group = sorted(set(order[start : start + 16]), key=lambda _: chance.random())
        await asyncio.gather(*(play(number) for number in group))
    states = await asyncio.gather(*(env.state() for env in clients))
    assert [state["step_count"] for state in states] == counts
    assert len({state["episode_id"] for state in states}) == len(clients)


async def test_a_server_that_stops_says_goodbye_first(tmp_path: Path) -> None:
    port = free_port()
    async with echo_server(port, tmp_path) as server:
        env = OpenEnvClient(f"http://127.0.0.1:{port}", max_retries=1)
        await env.reset()
        await env.step(say("hello"))
        server.terminate()
        await server.wait()
        with pytest.raises(SessionLost):
            await env.step(say("hello"))
        with pytest.raises(OpenEnvError, match="cannot be reached"):
            await env.reset()
