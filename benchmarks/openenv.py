"""What a step of an environment costs: ``python -m benchmarks openenv [--quick]``.

Our client and our server against upstream's pair, in one run, in alternating order, and then
``step_many`` over more and more servers. Each figure is that of its best round, and CPU the median;
what is compared are ratios within a run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import openenv_pool
from benchmarks.openenv_load import MESSAGE, Job
from benchmarks.processes import (
    LOAD_CORE,
    TARGET_CORE,
    machine,
    resident_mib,
    running,
)
from tests.fakes.ports import free_port

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
SESSIONS = (1, 16, 64)
MOST = str(2 * max(SESSIONS))
ACTIONS: dict[str, dict[str, Any]] = {
    "agentcore": {"type": "say", "parameters": {"message": MESSAGE}},
    "official": {"message": MESSAGE},
}


@dataclass(frozen=True)
class Pair:
    """Which client plays on which server."""

    client: str
    server: str

    @property
    def name(self) -> str:
        return f"{self.client} on {self.server}"


OURS = Pair("agentcore", "agentcore")
THEIRS = Pair("official", "official")
MIXED = Pair("agentcore", "official")
REVERSE = Pair("official", "agentcore")
PAIRS = (OURS, THEIRS, MIXED, REVERSE)


@dataclass(frozen=True)
class Server:
    url: str
    pid: int


@dataclass
class Measured:
    p50_ms: float
    p95_ms: float
    per_second: float
    client_cpu_us: float
    server_cpu_us: float
    connect_ms: float
    steps: int


def measure(
    pair: Pair, server: Server, sessions: int, seconds: float, peers: Path = PEERS
) -> Measured:
    action = ACTIONS[pair.server]
    if pair.client == "agentcore":
        # Our client takes parameters and finds out by itself how the server wants them.
        action = {"message": MESSAGE}
    job = Job(pair.client, server.url, action, sessions, seconds, server.pid)
    python = sys.executable if pair.client == "agentcore" else str(peers)
    with tempfile.NamedTemporaryFile("r") as answer:
        command = [python, "-m", "benchmarks.openenv_load", str(LOAD_CORE), answer.name]
        subprocess.run(command, input=json.dumps(asdict(job)), text=True, check=True, cwd=ROOT)
        outcome = json.load(answer)
    latencies = sorted(outcome["latencies"])
    count = len(latencies)
    return Measured(
        p50_ms=1000 * latencies[count // 2],
        p95_ms=1000 * latencies[int(0.95 * count)],
        per_second=count / outcome["elapsed"],
        client_cpu_us=1e6 * outcome["cpu"] / count,
        server_cpu_us=1e6 * outcome["server_cpu"] / count,
        connect_ms=1000 * outcome["connecting"] / sessions,
        steps=count,
    )


def run(*, seconds: float, rounds: int, peers: Path = PEERS) -> dict[str, Any]:
    """Measure every pair; the result is what is written as JSON."""
    if not peers.exists():
        raise SystemExit("upstream's package is not installed: run `python3 dev.py peers` first")
    with our_server() as ours, upstreams_server(peers) as theirs:
        servers = {"agentcore": ours, "official": theirs}
        idle = {name: resident_mib(server.pid) for name, server in servers.items()}
        taken: dict[str, dict[int, list[Measured]]] = {
            pair.name: {sessions: [] for sessions in SESSIONS} for pair in PAIRS
        }
        for number in range(rounds):
            order = PAIRS if number % 2 == 0 else PAIRS[::-1]
            for sessions in SESSIONS:
                print(f"round {number + 1}/{rounds}: {sessions} sessions", file=sys.stderr)
                for pair in order:
                    measured = measure(pair, servers[pair.server], sessions, seconds, peers)
                    taken[pair.name][sessions].append(measured)
        loaded = {name: resident_mib(server.pid) for name, server in servers.items()}
    best = {
        name: {sessions: _best(each) for sessions, each in figures.items()}
        for name, figures in taken.items()
    }
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seconds": seconds,
        "rounds": rounds,
        "rss_mib": {"idle": idle, "loaded": loaded},
        "whole": whole(peers),
        "pairs": {
            name: {str(sessions): asdict(measured) for sessions, measured in figures.items()}
            for name, figures in best.items()
        },
        "scaling": openenv_pool.run(seconds=seconds, rounds=rounds),
        "ratios": {
            str(sessions): {
                "pair": _ratios(best[OURS.name][sessions], best[THEIRS.name][sessions]),
                "client": _ratios(best[MIXED.name][sessions], best[THEIRS.name][sessions]),
            }
            for sessions in SESSIONS
        },
    }


def whole(python: Path) -> bool:
    """Whether upstream's package is there with its browser page, as its own install brings it.

    The page is half of what its server keeps, and the tests' environment leaves it out.
    """
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('gradio') is None)"
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


@contextmanager
def our_server() -> Iterator[Server]:
    """The echo environment as ``agentcore env serve`` serves it."""
    port = free_port()
    command = [sys.executable, "-m", "agentcore", "env", "serve", "benchmarks.openenv_echo:Echo"]
    command += ["--port", str(port), "--no-auth", "--max-sessions", MOST]
    with tempfile.TemporaryDirectory(prefix="acb-") as home:
        env = {"AGENTCORE_HOME": home, "PYTHONPATH": ":".join(filter(None, sys.path))}
        with running(command, port, core=TARGET_CORE, env=env) as process:
            yield Server(f"http://127.0.0.1:{port}", process.pid)


@contextmanager
def upstreams_server(python: Path) -> Iterator[Server]:
    """The same environment on upstream's own server."""
    port = free_port()
    script = str(ROOT / "tests" / "peers" / "openenv_echo_server.py")
    command = [str(python), script, "--port", str(port), "--sessions", MOST]
    command += ["--steps", str(10**12)]
    with running(command, port, core=TARGET_CORE) as process:
        yield Server(f"http://127.0.0.1:{port}", process.pid)


def _best(taken: Sequence[Measured]) -> Measured:
    """The best round of each figure: what else runs on a machine only slows things down."""

    def all_of(name: str) -> list[float]:
        return [getattr(each, name) for each in taken]

    return Measured(
        p50_ms=min(all_of("p50_ms")),
        p95_ms=min(all_of("p95_ms")),
        per_second=max(all_of("per_second")),
        client_cpu_us=statistics.median(all_of("client_cpu_us")),
        server_cpu_us=statistics.median(all_of("server_cpu_us")),
        connect_ms=min(all_of("connect_ms")),
        steps=sum(each.steps for each in taken),
    )


def _ratios(one: Measured, other: Measured) -> dict[str, float]:
    both = [each.client_cpu_us + each.server_cpu_us for each in (one, other)]
    return {
        "steps": one.per_second / other.per_second,
        "p50": one.p50_ms / other.p50_ms,
        "p95": one.p95_ms / other.p95_ms,
        "cpu": both[0] / both[1],
        "ends": one.client_cpu_us / one.server_cpu_us,
    }
