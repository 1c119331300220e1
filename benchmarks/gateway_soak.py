"""Does AgentCore's memory grow, and what do many streams take:
``python -m benchmarks gateway --soak``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.gateway import Scenario, body, measure, started_beside_upstream
from benchmarks.processes import most_resident_mib, resident_mib
from benchmarks.targets import TARGETS

REQUESTS = 200_000
STREAMS = 1000
WARM_REQUESTS = 10_000
TURN_SECONDS = 10.0
PLAIN = Scenario("plain", {"body": body(), "connections": 16})
MANY = Scenario("streams", {"body": body(stream=True), "connections": STREAMS, "mode": "stream"})
LARGEST_MIB, LARGEST_GROWTH, LARGEST_STREAMING_MIB = 130.0, 5.0, 400.0


@dataclass(frozen=True)
class Soaked:
    """MiB before, after ``requests`` more, and at most while ``streams`` ran at once."""

    requests: int
    streams: int
    errors: int
    before: float
    after: float
    most: float

    @property
    def growth(self) -> float:
        """Per cent."""
        return 100 * (self.after - self.before) / self.before

    def lines(self) -> list[str]:
        memory = f"{self.before:.1f} MiB before, {self.after:.1f} after"
        told = [
            f"{self.requests} requests: {memory}, {self.errors} errors",
            f"{self.streams} streams at once: {self.most:.1f} MiB at most",
        ]
        for name, value, most in (
            ("RSS per worker, MiB", self.after, LARGEST_MIB),
            ("growth over the requests, %", self.growth, LARGEST_GROWTH),
            ("RSS with all streams, MiB", self.most, LARGEST_STREAMING_MIB),
        ):
            verdict = "kept" if value <= most else "MISSED"
            told.append(f"{name}: {value:.1f}, goal {most:g}: {verdict}")
        return told


def run(requests: int = REQUESTS) -> Soaked:
    agentcore = [target for target in TARGETS if target.name == "agentcore"]
    with started_beside_upstream(agentcore) as started:
        target = started["agentcore"]
        errors = 0

        def soak(number: int, seconds: float) -> int:
            nonlocal errors
            done = 0
            while done < number:
                measured = measure(target, PLAIN, seconds)
                done += measured.requests
                errors += measured.errors
                rss = resident_mib(target.pid)
                print(f"{done}/{number}: {rss:.1f} MiB", file=sys.stderr)
            return done

        soak(min(WARM_REQUESTS, requests), 2.0)
        before = resident_mib(target.pid)
        done = soak(requests, TURN_SECONDS)
        after = resident_mib(target.pid)
        streamed = measure(target, MANY, 2.0)
        errors += streamed.errors
        most = most_resident_mib(target.pid)
    return Soaked(done, STREAMS, errors, before, after, most)


def main(requests: int) -> int:
    print("\n".join(run(requests).lines()))
    return 0
