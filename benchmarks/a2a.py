"""What a task costs: ``python -m benchmarks a2a [--quick]``.

AgentCore as it is served, and the official SDK's own server with its database store, on databases
of one PostgreSQL. They take turns; what is compared are ratios within a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from agentcore.kit.db import open_database, parse_url
from agentcore.kit.db_migrations import migrate
from agentcore.kit.embedded import open_embedded
from agentcore.kit.models import DatabaseConfig
from benchmarks.a2a_load import Job, Outcome
from benchmarks.measured import in_turns
from benchmarks.processes import CORES, LOAD_CORE, TARGET_CORE, resident_mib, running
from benchmarks.targets import access, gone, ready
from tests.fakes.ports import free_port

ROOT = Path(__file__).parent.parent
PEER = ROOT / ".venv-peers-a2a" / "bin" / "python"
CLIENTS = (1, 16, 64)
FOLLOWERS = 1000
OURS, THEIRS = "agentcore", "a2a-sdk"


@dataclass(frozen=True)
class Server:
    port: int
    pid: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Scenario:
    name: str
    job: dict[str, Any]


SCENARIOS = (
    *(Scenario(f"c{clients}", {"mode": "send", "connections": clients}) for clients in CLIENTS),
    Scenario("chunks", {"mode": "chunks"}),
    Scenario("fan", {"mode": "fan", "connections": FOLLOWERS}),
)


@dataclass
class Measured:
    """Of one scenario: round trips, streamed tasks, or events on their way to a follower."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    cpu_ms: float
    count: int
    errors: int


def measure(server: Server, scenario: Scenario, seconds: float) -> Measured:
    job = Job(server.port, server.pid, headers=server.headers, seconds=seconds, **scenario.job)
    with tempfile.NamedTemporaryFile("r") as answer:
        command = [sys.executable, "-m", "benchmarks.a2a_load", str(LOAD_CORE), answer.name]
        subprocess.run(
            command, input=json.dumps(asdict(job)), text=True, check=True, cwd=ROOT, timeout=300
        )
        return summed_up(Outcome(**json.load(answer)))


def summed_up(outcome: Outcome) -> Measured:
    ordered = sorted(1000 * latency for latency in outcome.latencies)
    if not ordered:
        raise RuntimeError("no answer at all")

    def quantile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Measured(
        p50_ms=quantile(0.50),
        p95_ms=quantile(0.95),
        p99_ms=quantile(0.99),
        per_second=len(ordered) / outcome.elapsed,
        cpu_ms=1000 * outcome.cpu / len(ordered),
        count=len(ordered),
        errors=outcome.errors,
    )


def run(*, seconds: float, rounds: int, peer: Path = PEER) -> dict[str, Any]:
    """Measure both servers; the result is what is written as JSON."""
    if not peer.exists():
        raise SystemExit("the SDK's server is not installed: run `python3 dev.py bench a2a`")
    load = [os.getloadavg()[0]]
    with started(peer) as servers:
        taken = in_turns(servers, SCENARIOS, measure, seconds=seconds, rounds=rounds)
        resident = {name: resident_mib(server.pid) for name, server in servers.items()}
    load.append(os.getloadavg()[0])
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(CORES),
            "python": platform.python_version(),
            "system": platform.platform(),
            "load": [round(each, 1) for each in load],
        },
        "seconds": seconds,
        "rounds": rounds,
        "rss_mib": resident,
        "servers": {
            name: {scenario: asdict(middle_of(each)) for scenario, each in figures.items()}
            for name, figures in taken.items()
        },
    }


def middle_of(taken: Sequence[Measured]) -> Measured:
    """The median over the rounds of each figure; all of what was counted."""

    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in taken))

    return Measured(
        p50_ms=middle("p50_ms"),
        p95_ms=middle("p95_ms"),
        p99_ms=middle("p99_ms"),
        per_second=middle("per_second"),
        cpu_ms=middle("cpu_ms"),
        count=sum(each.count for each in taken),
        errors=sum(each.errors for each in taken),
    )


@contextmanager
def started(peer: Path) -> Iterator[dict[str, Server]]:
    with tempfile.TemporaryDirectory(prefix="acb-") as folder, ExitStack() as stack:
        home = Path(folder)
        stack.callback(gone, home)
        urls = stack.enter_context(databases(home))
        yield {
            OURS: stack.enter_context(ours(home, *urls[OURS])),
            THEIRS: stack.enter_context(theirs(peer, urls[THEIRS][0])),
        }


@contextmanager
def databases(home: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """A PostgreSQL with a database for each, and a Valkey: their URLs."""
    with asyncio.Runner() as runner:
        opened = open_embedded(home)
        servers = runner.run(opened.__aenter__())
        try:
            runner.run(_make(servers.database_url))
            url = parse_url(servers.database_url)
            yield {
                name: (url.set(database=database).render_as_string(False), servers.redis_url or "")
                for name, database in ((OURS, "ours"), (THEIRS, "theirs"))
            }
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def _make(url: str) -> None:
    engine = create_async_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for name in ("ours", "theirs"):
            await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    migrated = parse_url(url).set(database="ours").render_as_string(False)
    async with open_database(DatabaseConfig(), migrated) as database:
        await migrate(database)


@contextmanager
def ours(home: Path, database: str, cache: str) -> Iterator[Server]:
    """With credentials, logs and metrics, as it is."""
    port = free_port()
    env = {
        "AGENTCORE_HOME": str(home / "ours"),
        "AGENTCORE_DATABASE_URL": database,
        "AGENTCORE_REDIS_URL": cache,
    }
    key = access(env, "a2a")
    command = [sys.executable, "-m", "benchmarks.a2a_service", str(port)]
    with running(command, port, core=TARGET_CORE, env=env) as process:
        ready(f"http://127.0.0.1:{port}/health/ready")
        yield Server(port, process.pid, {"authorization": f"Bearer {key}"})


@contextmanager
def theirs(peer: Path, database: str) -> Iterator[Server]:
    port = free_port()
    script = str(ROOT / "benchmarks" / "peers" / "a2a_server.py")
    with running([str(peer), script, str(port), database], port, core=TARGET_CORE) as process:
        yield Server(port, process.pid, {})
