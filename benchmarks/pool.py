"""Does ``step_many`` scale with the server? ``python -m benchmarks.pool [--quick]``.

64 sessions over one replica and over two, of an environment that computes for half a millisecond,
and of one that computes nothing. Printed are steps a second and, from the kernel, the CPU per step
of the client and of the servers: where the servers' is the larger, replicas help.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step
from agentcore.training.openenv.models import Action, StepResult
from agentcore.training.openenv.playing import remote_sessions
from agentcore.training.openenv.pool import EnvironmentPool
from benchmarks.processes import cpu_seconds, free_port, running

SESSIONS = 64
GO = Action(type="go")


class Go(Parameters):
    """The only action."""


@dataclass
class Steps:
    made: int = 0


class Idle(Environment[Go, Steps]):
    name, description = "idle", "Computes nothing."
    seconds = 0.0

    def observation_space(self) -> JsonObject:
        return {"type": "object"}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {"made": 0}

    def act(self, action: Go) -> Step:
        self.state.made += 1
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return Step({"made": self.state.made}, reward=1.0)


class Busy(Idle):
    name, description = "busy", "Computes for half a millisecond."
    seconds = 0.0005


@dataclass(frozen=True)
class Figures:
    environment: str
    replicas: int
    steps_per_second: float
    client_us: float
    server_us: float

    def __str__(self) -> str:
        return (
            f"{self.environment:6}{self.replicas:9}{self.steps_per_second:12.0f}"
            f"{self.client_us:14.0f}{self.server_us:14.0f}"
        )


async def measure(urls: Sequence[str], pids: Sequence[int], seconds: float) -> tuple[float, ...]:
    """Steps a second, and microseconds of the client and of the servers per step."""
    async with EnvironmentPool(
        urls, SESSIONS, open_session=lambda url: remote_sessions(url)(0)
    ) as pool:
        await pool.reset_many([0] * SESSIONS)
        actions = [GO] * SESSIONS
        await pool.step_many(actions)
        steps, began, used = 0, time.perf_counter(), time.process_time()
        served = sum(map(cpu_seconds, pids))
        while (elapsed := time.perf_counter() - began) < seconds:
            results = await pool.step_many(actions)
            steps += len(results)
            assert all(isinstance(each, StepResult) and each.reward == 1.0 for each in results)
        used, served = time.process_time() - used, sum(map(cpu_seconds, pids)) - served
    return steps / elapsed, 1e6 * used / steps, 1e6 * served / steps


@contextmanager
def servers(environment: str, replicas: int) -> Iterator[tuple[list[str], list[int]]]:
    with ExitStack() as stack:
        urls, pids = [], []
        for _ in range(replicas):
            port = free_port()
            command = [sys.executable, "-m", "agentcore", "env", "serve"]
            command += [f"benchmarks.pool:{environment}", "--port", str(port), "--no-auth"]
            process = stack.enter_context(running(command, port))
            urls.append(f"http://127.0.0.1:{port}")
            pids.append(process.pid)
        yield urls, pids


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run: is everything alive?")
    seconds = 0.3 if parser.parse_args(arguments).quick else 5.0
    print(f"{'':6}{'replicas':>9}{'steps/s':>12}{'client us':>14}{'servers us':>14}")
    for environment in ("Idle", "Busy"):
        for replicas in (1, 2):
            with servers(environment, replicas) as (urls, pids):
                found = asyncio.run(measure(urls, pids, seconds))
            print(Figures(environment, replicas, *found), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
