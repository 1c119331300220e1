"""Everything at once for a long time: good answers, every fault, callers that leave.

``python -m benchmarks gateway --faults 1800``. Gateway, upstreams and callers are one process, so
that nothing which any of them keeps goes unseen.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import aiohttp

from agentcore.cli.serving import return_large_memory
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.llm_gateway.decisions import DecisionLog
from agentcore.llm_gateway.models import ProviderConfig, ProviderKind, Timeouts
from agentcore.llm_gateway.providers.hybrid_router import BreakerPolicy
from benchmarks.processes import resident_mib
from tests.fakes.llm_apis import Heard
from tests.fakes.llm_door import Door, llm_door
from tests.fakes.llm_fault_table import FAULTS
from tests.fakes.llm_faults import RawUpstream, Script, raw_upstream, well
from tests.fakes.llm_speech import Speech

CALLERS = 16
PARTS = 10
# Of the parts, the first ones fill caches; what the others add is growth.
WARM = 3
MOST_GROWTH = 0.05
LEAVING = 0.1
LEAVE_SECONDS = 0.01
GOOD = 3
LOOKS = 50
# Of so many the router remembers why: the log is to be full in the first part.
DECISIONS = 50
WORDS = ("well ", "done ", "all")
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}


class Way(NamedTuple):
    """How callers ask, and of which kind of provider; ``body`` names no model yet."""

    path: str
    kind: ProviderKind
    body: dict[str, Any]


WAYS = {
    f"{way.path[1:].replace('/', '-')}-{way.kind}": way
    for way in (
        Way("/chat/completions", "openai", CHAT),
        Way("/chat/completions", "gemini", CHAT),
        Way("/chat/completions", "parallax", CHAT),
        Way("/responses", "openai", {"input": "Hi"}),
        Way("/messages", "anthropic", CHAT),
        Way("/embeddings", "openai", {"input": "Hi"}),
        Way("/embeddings", "gemini", {"input": "Hi"}),
    )
}
SHORT = Timeouts(connect=1, first_byte=0.1, idle=0.1, total=0.2)


class Sample(NamedTuple):
    """What there is when nobody asks for anything."""

    calls: int
    answered: int
    memory: float
    objects: int
    tasks: int
    places: int
    connections: int


@dataclass
class Soak:
    door: Door
    upstreams: tuple[RawUpstream, RawUpstream]
    dice: random.Random
    calls: int = 0
    answered: int = 0

    async def part(self, seconds: float, least: int) -> Sample:
        """All callers ask for so long, and as often as ``least`` together."""
        end, goal = time.monotonic() + seconds, self.calls + least

        async def ask_on(session: aiohttp.ClientSession) -> None:
            while time.monotonic() < end or self.calls < goal:
                await self._ask(session)

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(ask_on(session) for _ in range(CALLERS)))
        return await self._rest()

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        self.calls += 1
        # What nobody reads would look like growth.
        self.door.lines.clear()
        model = self.dice.choice([*WAYS])
        path = WAYS[model].path
        body = {**WAYS[model].body, "model": model}
        if path != "/embeddings":
            body["stream"] = self.dice.random() < 0.7
        patience = LEAVE_SECONDS if self.dice.random() < LEAVING else 30.0
        priority = {"x-agentcore-priority": self.dice.choice(("high", "medium", "low"))}
        try:
            async with (
                asyncio.timeout(patience),
                session.post(self.door.url + path, json=body, headers=priority) as answer,
            ):
                await answer.read()
                self.answered += answer.status == 200
        except TimeoutError:
            assert patience == LEAVE_SECONDS, f"{path} hangs"

    async def _rest(self) -> Sample:
        """When all that was begun has come to its end."""
        self.door.pool.close()
        async with asyncio.timeout(10):
            # The upstreams' side of a connection ends a little later than ours.
            while self._places() or any(each.open for each in self.upstreams):  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.005)
        await _settled()
        return Sample(
            calls=self.calls,
            answered=self.answered,
            memory=resident_mib(os.getpid()),
            objects=len(gc.get_objects()),
            tasks=len(asyncio.all_tasks()),
            places=self._places(),
            connections=sum(each.open for each in self.upstreams),
        )

    def _places(self) -> int:
        return sum(each.gate.in_flight for each in self.door.router.providers.values())


async def _settled() -> None:
    """When what is only on its way to be forgotten is so: callbacks that are due, and cycles."""
    before = -1
    for _ in range(LOOKS):
        found = len(gc.get_objects())
        if found == before:
            break
        before = found
        await asyncio.sleep(0.005)
    gc.collect()


def scripts(kind: ProviderKind, speech: Speech) -> Iterator[tuple[Script, Script]]:
    """Plain and streamed, good ones between the faults; saturation would end the variety."""
    good = (well(speech, WORDS, stream=False), well(speech, WORDS, stream=True))
    for fault in FAULTS.values():
        if not fault.where and fault.status != 429:
            plain, streamed = (
                fault.script(speech, stream=way) if fault.met_by(kind, stream=way) else good[way]
                for way in (False, True)
            )
            yield plain, streamed
            yield from [good] * GOOD


def providers(broken: str, healthy: str) -> Iterator[ProviderConfig]:
    for model, way in WAYS.items():
        own = ProviderConfig(
            name=f"own-{model}",
            kind=way.kind,
            base_url=broken if way.kind == "parallax" else f"{broken}/v1",
            self_hosted=True,
            models={model: model},
            timeouts=SHORT,
        )
        yield own
        api: dict[str, Any] = {"name": f"api-{model}", "base_url": f"{healthy}/v1"}
        if way.kind == "parallax":
            api["kind"] = "compatible"
        yield own.model_copy(update={**api, "self_hosted": False, "timeouts": Timeouts()})


async def soak(seconds: float, *, parts: int = PARTS, least: int = 0) -> list[Sample]:
    """``parts`` samples of all that takes ``seconds``, or as many calls for each part."""
    turns: dict[str, Iterator[tuple[Script, Script]]] = {}

    def breaking(asked: Heard) -> Script:
        if asked.model not in turns:
            turns[asked.model] = cycle([*scripts(WAYS[asked.model].kind, asked.speech)])
        return next(turns[asked.model])[asked.stream]

    def answering(asked: Heard) -> Script:
        return well(asked.speech, WORDS, stream=asked.stream)

    never = BreakerPolicy(failures=1_000_000_000)
    async with raw_upstream(breaking) as broken, raw_upstream(answering) as healthy:
        known = providers(broken.url, healthy.url)
        async with llm_door(*known, breakers=never) as door:
            door.router.decisions = DecisionLog(SYSTEM_CLOCK, DECISIONS)
            running = Soak(door, (broken, healthy), random.Random(0))
            samples = []
            for _ in range(parts):
                samples.append(await running.part(seconds / parts, least))
                if seconds:
                    print(samples[-1], flush=True)
            return samples


def run(seconds: float) -> int:
    """0 if memory did not grow once it was warm, and nothing was kept."""
    # As the service does it: what is left then are objects, of ours or of the harness.
    return_large_memory()
    samples = asyncio.run(soak(seconds))
    grown = samples[-1].memory / samples[WARM].memory - 1
    kept = {each._replace(calls=0, answered=0, memory=0.0, objects=0) for each in samples[WARM:]}
    print(
        f"{samples[-1].calls} calls; memory {grown:+.1%}, goal at most {MOST_GROWTH:.0%}; "
        f"tasks, places, connections: {'the same throughout' if len(kept) == 1 else kept}"
    )
    return int(grown > MOST_GROWTH or len(kept) > 1)
