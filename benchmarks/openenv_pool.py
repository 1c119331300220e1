"""Does ``step_many`` scale with the servers? 64 sessions over more and more of them.

    python -m benchmarks.openenv_pool CORE ANSWER < JOB

plays, as a process of its own and on uvloop as ``agentcore env run`` does. An environment that
computes nothing shows what client and server need for a step; one that takes a millisecond shows
how much of the servers' time a single client uses. It sleeps, so that there may be more servers
than cores; each of them still does one step at a time.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from agentcore.cli.serving import loop_factory
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step
from agentcore.training.openenv.models import Action, StepResult
from agentcore.training.openenv.playing import EpisodeSession, remote_sessions
from agentcore.training.openenv.pool import EnvironmentPool
from benchmarks.processes import LOAD_CORE, TARGET_CORE, cpu_seconds, pin, running
from tests.fakes.ports import free_port

ROOT = Path(__file__).parent.parent
SESSIONS = 64
SCENARIOS = (("Idle", 1), ("Asleep", 1), ("Asleep", 2), ("Asleep", 4))


class Go(Parameters):
    """The only action."""


@dataclass
class Steps:
    made: int = 0


class Idle(Environment[Go, Steps]):
    """Every step tells how long it took: what a server can do at most follows from that."""

    name, description = "idle", "Computes nothing."
    seconds = 0.0

    def observation_space(self) -> JsonObject:
        return {"type": "object", "properties": {"seconds": {"type": "number"}}}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {"seconds": 0.0}

    def act(self, action: Go) -> Step:
        self.state.made += 1
        began = time.perf_counter()
        if self.seconds:
            time.sleep(self.seconds)
        return Step({"seconds": time.perf_counter() - began}, reward=1.0)


class Asleep(Idle):
    name, description = "asleep", "Takes a millisecond and no core."
    seconds = 0.001


@dataclass(frozen=True)
class Job:
    urls: list[str]
    pids: list[int]
    seconds: float
    warming: float = 0.2


@dataclass(frozen=True)
class Scaling:
    """``busy_s`` is how long the environment itself took for a step."""

    per_second: float
    busy_s: float
    client_cpu_us: float
    server_cpu_us: float


def run(*, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """One entry per scenario: the best round's steps a second, CPU and the rest the median."""
    taken: dict[tuple[str, int], list[Scaling]] = {each: [] for each in SCENARIOS}
    for number in range(rounds):
        print(f"round {number + 1}/{rounds}: {SESSIONS} sessions together", file=sys.stderr)
        for environment, replicas in SCENARIOS:
            with servers(environment, replicas) as (urls, pids):
                taken[environment, replicas].append(measure(Job(urls, pids, seconds)))
    return [summed_up(*scenario, each) for scenario, each in taken.items()]


def measure(job: Job) -> Scaling:
    with tempfile.NamedTemporaryFile("r") as answer:
        command = [sys.executable, "-m", "benchmarks.openenv_pool", str(LOAD_CORE), answer.name]
        subprocess.run(command, input=json.dumps(asdict(job)), text=True, check=True, cwd=ROOT)
        return Scaling(**json.load(answer))


async def play(job: Job) -> Scaling:
    def open_session(url: str) -> EpisodeSession:
        return remote_sessions(url)(0)

    async with EnvironmentPool(job.urls, SESSIONS, open_session=open_session) as pool:
        await pool.reset_many([0] * SESSIONS)
        await _steps(pool, job.warming)
        used, served = time.process_time(), sum(map(cpu_seconds, job.pids))
        began = time.perf_counter()
        took = await _steps(pool, job.seconds)
        elapsed = time.perf_counter() - began
        used, served = time.process_time() - used, sum(map(cpu_seconds, job.pids)) - served
    count = len(took)
    return Scaling(
        per_second=count / elapsed,
        busy_s=statistics.fmean(took),
        client_cpu_us=1e6 * used / count,
        server_cpu_us=1e6 * served / count,
    )


async def _steps(pool: EnvironmentPool, seconds: float) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        # Made anew for every step, as a policy makes them.
        for result in await pool.step_many([Action(type="go") for _ in range(SESSIONS)]):
            assert isinstance(result, StepResult), result
            assert result.reward == 1.0
            slept = result.observation.state["seconds"]
            assert isinstance(slept, float)
            took.append(slept)
    return took


@contextmanager
def servers(environment: str, replicas: int) -> Iterator[tuple[list[str], list[int]]]:
    with ExitStack() as stack:
        urls, pids = [], []
        for _ in range(replicas):
            port = free_port()
            command = [sys.executable, "-m", "agentcore", "env", "serve"]
            command += [f"benchmarks.openenv_pool:{environment}", "--port", str(port), "--no-auth"]
            process = stack.enter_context(running(command, port, core=TARGET_CORE))
            urls.append(f"http://127.0.0.1:{port}")
            pids.append(process.pid)
        yield urls, pids


def summed_up(environment: str, replicas: int, taken: list[Scaling]) -> dict[str, Any]:
    """``ideal`` is what the servers could do if each had its next step at once."""
    busy = statistics.median(each.busy_s for each in taken)
    best = max(each.per_second for each in taken)
    ideal = replicas / busy if environment == "Asleep" else None
    return {
        "environment": environment.lower(),
        "replicas": replicas,
        "per_second": best,
        "ideal": ideal,
        "share": None if ideal is None else best / ideal,
        "client_cpu_us": statistics.median(each.client_cpu_us for each in taken),
        "server_cpu_us": statistics.median(each.server_cpu_us for each in taken),
    }


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        outcome = runner.run(play(Job(**json.load(sys.stdin))))
    Path(sys.argv[2]).write_text(json.dumps(asdict(outcome)))
