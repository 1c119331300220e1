"""What the gateway costs: ``python -m benchmarks gateway [--quick]``.

All targets run in one go and take turns, scenario by scenario, against one upstream process; what
is compared are ratios to asking the upstream directly in the same run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from benchmarks.load import Job
from benchmarks.measured import in_turns
from benchmarks.processes import (
    LOAD_CORE,
    cpu_seconds,
    machine,
    resident_mib,
    running,
)
from benchmarks.targets import TARGETS, Running, Target
from tests.fakes.ports import free_port


@dataclass(frozen=True)
class Scenario:
    name: str
    job: dict[str, Any]


def body(*, stream: bool = False, size: int = 1200) -> str:
    """A request of about ``size`` bytes."""
    question = "Which of these lines answers the question best, and why? "
    text = (question * (size // len(question) + 1))[: max(1, size - 150)]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return json.dumps({"model": "mock", "messages": messages, "max_tokens": 64, "stream": stream})


SCENARIOS = (
    Scenario("c1", {"body": body(), "connections": 1}),
    Scenario("c16", {"body": body(), "connections": 16}),
    Scenario("c64", {"body": body(), "connections": 64}),
    Scenario("64k", {"body": body(size=65_536), "connections": 16}),
    Scenario("open500", {"body": body(), "connections": 64, "mode": "open", "rate": 500.0}),
    Scenario("stream1", {"body": body(stream=True), "connections": 1, "mode": "stream"}),
    Scenario("stream16", {"body": body(stream=True), "connections": 16, "mode": "stream"}),
)


@dataclass
class Measured:
    """One scenario at one target in one round; milliseconds and microseconds as named."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int
    errors: int
    per_second: float
    cpu_us: float | None
    delay_p99_ms: float | None = None


@dataclass
class Result:
    """The median over the rounds of each figure."""

    target: str
    rss_mib: float
    scenarios: dict[str, Measured] = field(default_factory=dict)


def measure(target: Running, scenario: Scenario, seconds: float) -> Measured:
    job = Job(
        port=target.port, path=target.path, headers=target.headers, seconds=seconds, **scenario.job
    )
    job = replace(job, body=job.body.replace('"model": "mock"', f'"model": "{target.model}"'))
    before = cpu_seconds(target.pid) if target.pid else 0.0
    with tempfile.NamedTemporaryFile("r") as answer:
        command = [sys.executable, "-m", "benchmarks.load", str(LOAD_CORE), answer.name]
        subprocess.run(command, input=json.dumps(asdict(job)), text=True, check=True)
        outcome = json.load(answer)
    used = cpu_seconds(target.pid) - before if target.pid else None
    latencies = sorted(1000 * latency for latency in outcome["latencies"])
    delays = sorted(1000 * delay for delay in outcome["delays"])
    done = len(latencies)
    if not done:
        raise RuntimeError(f"{scenario.name}: no answer at all")
    return Measured(
        p50_ms=_quantile(latencies, 0.50),
        p95_ms=_quantile(latencies, 0.95),
        p99_ms=_quantile(latencies, 0.99),
        requests=done,
        errors=outcome["errors"],
        per_second=done / outcome["elapsed"],
        cpu_us=None if used is None else 1e6 * used / done,
        delay_p99_ms=_quantile(delays, 0.99) if delays else None,
    )


def run(targets: Sequence[Target], *, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure every target; the result is what is written as JSON."""
    load = [os.getloadavg()[0]]
    with started_beside_upstream(targets) as started:
        taken = in_turns(started, SCENARIOS, measure, seconds=seconds, rounds=rounds)
        results = [
            Result(
                name,
                resident_mib(running_target.pid) if running_target.pid else 0.0,
                {each: middle_of(taken[name][each]) for each in taken[name]},
            )
            for name, running_target in started.items()
        ]
    load.append(os.getloadavg()[0])
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"load": [round(each, 1) for each in load]},
        "seconds": seconds,
        "rounds": rounds,
        "results": [asdict(result) for result in results],
    }


def chosen(names: Sequence[str]) -> list[Target]:
    """The named targets, or all that are installed; ``direct`` is always among them."""
    known = {target.name: target for target in TARGETS}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise SystemExit(f"unknown target {unknown[0]!r}; known: {', '.join(known)}")
    wanted = [*dict.fromkeys(["direct", *names])] if names else list(known)
    for name in wanted:
        if not known[name].installed:
            hint = "python3 dev.py peers gateway installs it"
            print(f"{name} is not installed and not measured; {hint}", file=sys.stderr)
    return [known[name] for name in wanted if known[name].installed]


@contextmanager
def started_beside_upstream(targets: Sequence[Target]) -> Iterator[dict[str, Running]]:
    with ExitStack() as stack:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.upstream", str(port)]
        upstream = stack.enter_context(running(command, port, core=LOAD_CORE))
        started = {target.name: stack.enter_context(target.start(port)) for target in targets}
        if "direct" in started:
            # What the upstream costs tells that it is not what limits the others.
            started["direct"] = replace(started["direct"], pid=upstream.pid)
        yield started


def middle_of(taken: Sequence[Measured]) -> Measured:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in taken))

    cpu = [each.cpu_us for each in taken if each.cpu_us is not None]
    delays = [each.delay_p99_ms for each in taken if each.delay_p99_ms is not None]
    return Measured(
        p50_ms=middle("p50_ms"),
        p95_ms=middle("p95_ms"),
        p99_ms=middle("p99_ms"),
        requests=sum(each.requests for each in taken),
        errors=sum(each.errors for each in taken),
        per_second=middle("per_second"),
        cpu_us=statistics.median(cpu) if cpu else None,
        delay_p99_ms=statistics.median(delays) if delays else None,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
