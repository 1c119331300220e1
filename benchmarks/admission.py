"""Bulk and interactive calls at once on a real server: what the gateway's admission is worth.

``python -m benchmarks admission``. Nobody tells the gateway how many calls the server carries.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal, NamedTuple

import aiohttp

from benchmarks.inference import MISSING, OWN_PACE, PYTHON, SLOTS, inference_server
from benchmarks.targets import served

BULK, BULK_TOKENS = 40, 150
INTERACTIVE, INTERACTIVE_TOKENS = 10, 8
# Between interactive calls that come one after the other.
SPREAD_SECONDS = 0.5
# Of connections: the server's own line of new ones is short.
TRIES, TRY_AGAIN_SECONDS = 100, 0.02

Kind = Literal["bulk", "interactive"]
Pattern = Literal["at once", "spread"]
# What admission can do at best that knows the server: one place kept for who cannot wait.
BY_HAND: Mapping[Kind, int] = {"bulk": SLOTS - 1, "interactive": 1}
# How soon the server looks for new calls: as it is, and as servers for real traffic do.
PACES = (OWN_PACE, 0.01)
PATTERNS: tuple[Pattern, ...] = ("at once", "spread")


class Asked(NamedTuple):
    kind: Kind
    tokens: int
    after: float


@dataclass(frozen=True)
class Answered:
    kind: Kind
    status: int
    first: float | None
    whole: bool


@dataclass(frozen=True)
class Way:
    """How the server is reached: itself, or through the gateway.

    ``places``: the callers let so many calls of each kind through at once, and no more.
    """

    name: str
    url: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)
    places: Mapping[Kind, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    pace: float
    way: str
    pattern: Pattern
    load: float
    first_p50: float
    first_worst: float
    seconds: float
    refused: int
    failed: int


def mixed(pattern: Pattern) -> list[Asked]:
    apart = SPREAD_SECONDS if pattern == "spread" else 0.0
    return [
        *(Asked("bulk", BULK_TOKENS, 0.0) for _ in range(BULK)),
        *(
            Asked("interactive", INTERACTIVE_TOKENS, number * apart)
            for number in range(INTERACTIVE)
        ),
    ]


async def ask(
    session: aiohttp.ClientSession, way: Way, asked: Asked, gate: asyncio.Semaphore
) -> Answered:
    await asyncio.sleep(asked.after)
    body = {
        "model": way.model,
        "stream": True,
        "max_tokens": asked.tokens,
        "messages": [{"role": "user", "content": f"hello {asked.kind}"}],
    }
    priority = {"x-agentcore-priority": "high" if asked.kind == "interactive" else "low"}
    url, headers = f"{way.url}/chat/completions", {**way.headers, **priority}
    began = time.perf_counter()
    for _ in range(TRIES):
        try:
            async with gate, session.post(url, json=body, headers=headers) as answer:
                first, whole = await _read(answer, began)
                return Answered(asked.kind, answer.status, first, whole)
        except (aiohttp.ClientConnectionError, ConnectionResetError):
            await asyncio.sleep(TRY_AGAIN_SECONDS)
    return Answered(asked.kind, 0, None, whole=False)


async def _read(answer: aiohttp.ClientResponse, began: float) -> tuple[float | None, bool]:
    first, whole = None, False
    async for line in answer.content:
        if first is None and b'"content"' in line and b'"content": ""' not in line:
            first = time.perf_counter() - began
        whole = whole or line.startswith(b"data: [DONE]")
    return first, whole


async def measure(way: Way, pattern: Pattern, calls: Sequence[Asked], *, pace: float) -> Run:
    everybody = len(calls)
    gates = {
        kind: asyncio.Semaphore(way.places.get(kind, everybody)) for kind in ("bulk", "interactive")
    }
    began = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        answers = await asyncio.gather(
            *(ask(session, way, each, gates[each.kind]) for each in calls)
        )
    seconds = time.perf_counter() - began
    quick = [each for each in answers if each.kind == "interactive"]
    firsts = [each.first for each in quick if each.first is not None] or [float("inf")]
    return Run(
        pace=pace,
        way=way.name,
        pattern=pattern,
        load=os.getloadavg()[0],
        first_p50=statistics.median(firsts),
        first_worst=max(firsts),
        seconds=seconds,
        refused=sum(each.status == 429 for each in answers),
        failed=sum(each.status != 429 and not each.whole for each in answers),
    )


def run(rounds: int) -> dict[str, Any]:
    if not PYTHON.exists():
        raise SystemExit(MISSING)
    runs = [each for pace in PACES for each in _runs(rounds, pace)]
    return {"slots": SLOTS, "runs": [asdict(each) for each in runs], "at": _now()}


def _runs(rounds: int, pace: float) -> Iterator[Run]:
    with inference_server(pace=pace) as server:
        provider = {
            "name": "own",
            "kind": "compatible",
            "base_url": server.url,
            "self_hosted": True,
            "models": {"tiny": server.model},
        }
        with served([provider]) as gateway:
            url = f"http://127.0.0.1:{gateway.port}/v1"
            direct = Way("direct", server.url, server.model)
            told = Way("by hand", server.url, server.model, places=BY_HAND)
            own = Way("agentcore", url, "tiny", gateway.headers)
            asyncio.run(measure(direct, "at once", mixed("at once")[:SLOTS], pace=pace))
            for pattern, way in [*product(PATTERNS, (direct, told, own))] * rounds:
                done = asyncio.run(measure(way, pattern, mixed(pattern), pace=pace))
                print(line(done), flush=True)
                yield done


def line(measured: Run) -> str:
    return (
        f"{measured.pace:<5g} {measured.way:<10} {measured.pattern:<8} "
        f"first content p50 {measured.first_p50:.3f} s, "
        f"worst {measured.first_worst:.3f} s; all in {measured.seconds:.1f} s; "
        f"429: {measured.refused}, failed: {measured.failed} (load {measured.load:.1f})"
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


def verdicts(report: dict[str, Any]) -> list[str]:
    """The medians of all rounds against the goals, for each pace of the server and pattern."""
    lines: list[str] = []
    for pace, pattern in product(PACES, PATTERNS):
        runs = [
            each for each in report["runs"] if (each["pace"], each["pattern"]) == (pace, pattern)
        ]
        own = [each for each in runs if each["way"] == "agentcore"]
        first = statistics.median(each["first_p50"] for each in own)
        direct = [each["seconds"] for each in runs if each["way"] == "direct"]
        ratio = statistics.median(each["seconds"] for each in own) / statistics.median(direct)
        refused = sum(each["refused"] for each in own)
        case = f"server looks each {pace:g} s, {pattern}"
        lines += [
            f"{case}: first content p50: {first:.3f} s, goal 0.1 s: {_kept(yes=first <= 0.1)}",
            f"{case}: all, of direct: {ratio:.2f}, goal 1.10: {_kept(yes=ratio <= 1.1)}",
            f"{case}: refused: {refused}, goal 0: {_kept(yes=refused == 0)}",
        ]
    return lines


def _kept(*, yes: bool) -> str:
    return "kept" if yes else "MISSED"
