"""How much later an answer comes where the provider asked first has failed.

``python -m benchmarks failover``. Gateway, upstreams and caller share one process and one core: the
figures are the worst that one call can see.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from agentcore.llm_gateway.models import ProviderConfig
from agentcore.llm_gateway.providers.hybrid_router import BreakerPolicy
from tests.fakes.llm_apis import Heard
from tests.fakes.llm_door import llm_door
from tests.fakes.llm_fault_table import FAULTS
from tests.fakes.llm_faults import Script, raw_upstream, well
from tests.fakes.llm_speech import OPENAI
from tests.fakes.ports import free_port

MEASURED = (
    "refused",
    "500",
    "dropped before the head",
    "reset before the head",
    "a page behind 200",
    "an error as first event",
)
CALLS = 300
GOAL_MS = 20.0
WORDS = ("all ", "is ", "well")


@dataclass(frozen=True)
class Delay:
    """Milliseconds until the first bytes of a stream beyond those of a call without a fault."""

    fault: str
    p50: float
    p99: float

    def __str__(self) -> str:
        verdict = "kept" if self.p99 <= GOAL_MS else "MISSED"
        return (
            f"{self.fault:<26} +{self.p50:.2f} ms p50, +{self.p99:.2f} ms p99, "
            f"goal {GOAL_MS:g} ms: {verdict}"
        )


def providers(fault: str, broken: str, healthy: str) -> Iterator[ProviderConfig]:
    first = f"http://127.0.0.1:{free_port()}" if fault == "refused" else broken
    yield ProviderConfig(
        name="own",
        kind="openai",
        base_url=f"{first}/v1",
        self_hosted=True,
        models={"faulty": "faulty"},
    )
    models = {"faulty": "faulty", "fine": "fine"}
    yield ProviderConfig(name="api", kind="openai", base_url=f"{healthy}/v1", models=models)


async def delay(name: str, calls: int) -> Delay:
    fault = FAULTS[name]

    def breaking(_asked: Heard) -> Script:
        return fault.script(OPENAI, stream=True)

    def answering(_asked: Heard) -> Script:
        return well(OPENAI, WORDS, stream=True)

    seconds: dict[str, list[float]] = {"faulty": [], "fine": []}
    async with raw_upstream(breaking) as broken, raw_upstream(answering) as healthy:
        known = providers(name, broken.url, healthy.url)
        async with (
            llm_door(*known, breakers=BreakerPolicy(failures=1_000_000_000)) as door,
            aiohttp.ClientSession() as session,
        ):
            for number in range(2 * calls):
                model = ("faulty", "fine")[number % 2]
                body = {"model": model, "stream": True, "messages": [{"role": "user"}]}
                began = time.perf_counter()
                async with session.post(f"{door.url}/chat/completions", json=body) as answer:
                    await answer.content.readany()
                    seconds[model].append(time.perf_counter() - began)
                    assert answer.headers["x-agentcore-provider"] == "api"
                    await answer.read()
    usual = statistics.median(seconds["fine"])
    late = sorted(1000 * (each - usual) for each in seconds["faulty"])
    return Delay(name, statistics.median(late), late[int(0.99 * (len(late) - 1))])


def run(calls: int = CALLS) -> list[Delay]:
    delays = [asyncio.run(delay(name, calls)) for name in MEASURED]
    print("\n".join(map(str, delays)))
    print(f"{calls} calls each; load {os.getloadavg()[0]:.1f}")
    return delays
