"""What playbooks cost: reads, replay, evolution. ``python -m benchmarks ace``.

Everything shares one process with the load that measures it; PostgreSQL and
Valkey are the embedded ones, and the model is a script that answers at once. So the figures are
about AgentCore's own work, and no time of a model is in them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import text

from agentcore.ace.content import Draft
from agentcore.ace.journal import advance
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook
from agentcore.ace.ops import Add, Move, Operation, Remove, Tag, Update, parse_operations, replay
from agentcore.ace.pacing import Pace
from agentcore.ace.store import Unit
from agentcore.kit.cache import open_cache
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.db import Database, open_database
from agentcore.kit.db_migrations import migrate
from agentcore.kit.embedded import open_embedded
from agentcore.kit.jsonvalue import JsonObject, dumps, loads
from agentcore.kit.models import CacheConfig, DatabaseConfig
from agentcore.kit.supervisor import Supervisor
from benchmarks.ace_http import reading_over_http
from benchmarks.measured import Measured, percentile
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import ScriptedModel, adding, proposing, reflecting
from tests.fakes.playbooks import MANY_AGENTS, MANY_PLAYBOOKS

DELTAS = 5_000
READERS = 100
WINDOW, SETTLING = 1.0, 0.2
ERROR = "the order had no id"
# Its minute never passes here: the clock stands still.
CONFIG = ACEConfig(ace_max_llm_calls_per_minute=1_000_000)
TRACES = """
INSERT INTO execution_traces (agent_id, task_id, execution_time, success, error_message,
                              captured_at)
SELECT 'agent-' || a, 'task-' || t, 1.5, t % 3 > 0, CASE WHEN t % 3 > 0 THEN NULL ELSE :error END,
       timestamptz '2026-01-01' + (:after + t) * interval '1 second'
FROM generate_series(1, :agents) a, generate_series(1, :traces) t
"""
PENDING = """
INSERT INTO evolution_status (agent_id, pending_traces)
SELECT 'agent-' || a, :traces FROM generate_series(1, :agents) a
ON CONFLICT (agent_id) DO UPDATE SET pending_traces = excluded.pending_traces
"""
QUERIES = {
    "one": "SELECT content FROM context_playbooks WHERE agent_id = 'agent-7'",
    "with a goal": """SELECT agent_id FROM context_playbooks
                      WHERE content->'goals' @> '["goal 7"]'""",
}


class HeldPace(Pace):
    """Can be held, for comparison."""

    held = False

    def may_begin(self) -> bool:
        return super().may_begin() and not self.held


def run(*, quick: bool = False) -> list[Measured]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    share = 0.1 if quick else 1.0
    found: list[Measured] = []
    for scenario in (
        replaying,
        versions,
        reading,
        reading_over_http,
        querying,
        disturbing,
        projecting,
    ):
        measured = asyncio.run(scenario(share))
        print(*measured, sep="\n", flush=True)
        found += measured
    return found


async def replaying(share: float) -> list[Measured]:
    """A log as stored, read and replayed, in CPU time; best of five."""
    log, content = lived(int(DELTAS * share))
    raw = dumps([{"v": version, "ops": [one.as_json() for one in ops]} for version, ops in log])
    reads, replays = [], []
    for _ in range(5):
        began = time.process_time()
        rows = loads(raw)
        assert isinstance(rows, list)
        parsed = [
            (int(str(row["v"])), parse_operations(row["ops"], internal=True))
            for row in rows
            if isinstance(row, dict)
        ]
        read = time.process_time()
        assert replay({}, parsed) == content
        reads.append(read - began)
        replays.append(time.process_time() - read)
    return [
        Measured(f"replay {len(log)} deltas", min(replays) * 1e3, "ms", 200),
        Measured(f"parse {len(log)} deltas", min(reads) * 1e3, "ms"),
    ]


async def versions(share: float) -> list[Measured]:
    """Any version of a playbook with a long log, from the database."""
    async with open_world() as world:
        playbook = await world.contexts.create_playbook("agent-0", {}, principal=ALICE)
        log, content = lived(int(DELTAS * share))
        await world.store.run(lambda unit: _written(unit, world, playbook, log))
        newest = len(log) + 1
        assert await world.ledger.content_at("agent-0", newest) == content
        chosen = [random.Random(3).randrange(1, newest) for _ in range(20)]
        times = [
            await _seconds(partial(world.ledger.content_at, "agent-0", number)) for number in chosen
        ]
        far = await _seconds(partial(world.ledger.rollback, "agent-0", 2))
        return [
            Measured(f"read one version of {newest}, median", statistics.median(times) * 1e3, "ms"),
            Measured(f"roll back from version {newest} to 2", far * 1e3, "ms"),
        ]


async def reading(share: float) -> list[Measured]:
    """Keeps 002-behaviour-playbook-retrieval-latency, and asks for more: evolution runs beside."""
    async with open_world(agents=READERS, traces=100) as world:
        for number in range(1, READERS + 1):
            await world.contexts.create_playbook(f"agent-{number}", _grown(number), principal=ALICE)
        await world.worker.start()
        reads: list[float] = []
        ends = time.perf_counter() + 10 * share

        async def reader(number: int) -> None:
            while time.perf_counter() < ends:
                agent = f"agent-{number % READERS + 1}"
                reads.append(await _seconds(partial(world.contexts.get_playbook, agent)))
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            for number in range(READERS):
                group.create_task(reader(number))
        evolved = await _evolved(world)
        await world.worker.stop()
        return [
            Measured(
                f"read in process, p95 of {len(reads)}, {READERS} readers, {evolved} evolutions",
                percentile(reads, 95) * 1e3,
                "ms",
                1,
            ),
            Measured("the same, p99", percentile(reads, 99) * 1e3, "ms"),
        ]


async def querying(share: float) -> list[Measured]:
    agents = int(10_000 * share)
    async with open_world(agents=agents) as world:
        async with world.database.begin() as connection:
            await connection.execute(text(MANY_PLAYBOOKS), {"agents": agents})
        async with world.database.begin() as connection:
            await connection.execute(text("ANALYZE context_playbooks"))
            told = []
            for name, query in QUERIES.items():
                times = [
                    await _seconds(partial(connection.execute, text(query))) for _ in range(20)
                ]
                title = f"JSONB query over {agents} playbooks ({name}), median"
                told.append(Measured(title, statistics.median(times) * 1e3, "ms", 20))
            return told


async def disturbing(share: float) -> list[Measured]:
    """Keeps 002-behaviour-concurrent-evolution-requests: 100 at once, beside callers.

    Short windows with and without them take turns, so that what else the machine does counts for
    both: it varies by more than they could take.
    """
    rounds = max(2, round(6 * share))
    alone: list[float] = []
    beside: list[float] = []
    spent, took = [], []
    async with open_world(agents=100, pacing=HeldPace) as world:
        assert isinstance(world.pace, HeldPace)
        for number in range(1, 101):
            await world.contexts.create_playbook(f"agent-{number}", _grown(number), principal=ALICE)
        await world.worker.start()
        for number in range(rounds):
            world.pace.held = True
            await _traced(world.database, agents=100, traces=100, after=200 * number)
            for agent in range(1, 101):
                await world.contexts.trigger_evolution(f"agent-{agent}")
            began = time.perf_counter()
            for held in (True, False, False, True, True, False, False, True):
                world.pace.held = held
                # What had begun before ends in it.
                await _throughput(world, SETTLING)
                own, cpu = world.pace.own, time.thread_time()
                (alone if held else beside).append(await _throughput(world, WINDOW))
                if not held:
                    spent.append((world.pace.own - own) / (time.thread_time() - cpu))
            world.pace.held = False
            while await _pending(world):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.05)
            took.append(time.perf_counter() - began)
        evolved, cost = 100 * rounds, world.pace.own / (100 * rounds)
        await world.worker.stop()
    lost = [1 - with_them / without for without, with_them in zip(alone, beside, strict=True)]
    error = statistics.stdev(lost) / len(lost) ** 0.5
    title = f"calls lost to them, {len(lost)} pairs of windows, +-{200 * error:.1f}"
    return [
        Measured("calls a second by ten callers, each to the database", max(alone), "1/s"),
        Measured(
            f"CPU of 100 evolutions at once, of the callers', {rounds} rounds",
            100 * statistics.fmean(spent),
            "%",
            5,
        ),
        Measured(title, 100 * statistics.fmean(lost), "%", 5),
        Measured("until all 100 are done, most of it beside callers", statistics.median(took), "s"),
        Measured(f"CPU of one evolution, of {evolved}", cost * 1e3, "ms"),
    ]


async def projecting(share: float) -> list[Measured]:
    """Keeps 002-behaviour-monthly-cost-projection, with ten times the agents."""
    agents = int(1_000 * share)
    async with open_world(agents=agents, traces=100) as world:
        began = time.perf_counter()
        await world.worker.start()
        while await _evolved(world) < agents:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
        await world.worker.stop()
        async with world.database.begin() as connection:
            total = "SELECT sum(total_cost) FROM evolution_status"
            cost = float(str(await connection.scalar(text(total))))
    return [
        Measured(f"{agents} agents x 100 traces evolved in", seconds, "s"),
        Measured("what that cost, at gpt-4o-mini's price", cost, "USD", 100),
    ]


def lived(
    deltas: int, first: int = 0
) -> tuple[list[tuple[int, tuple[Operation, ...]]], JsonObject]:
    """A log of mixed deltas over up to 350 bullets, and where it leads."""
    chance = random.Random(1)
    draft, log = Draft.of({}), []
    known: list[str] = []
    for version in range(2, deltas + 2):
        drawn = chance.random()
        operations: list[Operation]
        if len(known) < 10 or (len(known) < 350 and drawn < 0.4):
            words = (
                f"When order {first + version} has no id, ask for it before you act, and cite it."
            )
            operations = [Add(section=chance.choice("abcde"), text=words)]
        elif drawn < 0.75:
            operations = [Tag(id=name, helpful=1) for name in chance.sample(known, 3)]
        elif drawn < 0.9:
            operations = [
                Update(id=chance.choice(known), text=f"Corrected in version {first + version}.")
            ]
        elif drawn < 0.95:
            operations = [Remove(id=chance.choice(known))]
        else:
            operations = [Move(id=chance.choice(known), section="f")]
        for operation in operations:
            operation.perform(draft, version)
        known = [place.bullet.id for place in draft.bullets()]
        log.append((version, tuple(operations)))
    return log, draft.content()


async def _written(
    unit: Unit,
    world: ContextWorld,
    playbook: ContextPlaybook,
    log: Sequence[tuple[int, Sequence[Operation]]],
) -> None:
    before = playbook
    for _, operations in log:
        delta = ContextDelta(
            delta_id=str(world.ids.new()),
            playbook_id=playbook.playbook_id,
            changes={},
            confidence=1.0,
            reasoning="",
            generated_at=world.clock.now(),
        )
        after, entry = advance(before, delta, operations, now=world.clock.now())
        await unit.deltas.insert(entry)
        await unit.deltas.keep_snapshot(before, after)
        before = after
    await unit.playbooks.advance(before, expected=playbook.version)


@asynccontextmanager
async def open_world(
    *, agents: int = 0, traces: int = 0, pacing: type[Pace] = Pace
) -> AsyncIterator[ContextWorld]:
    """The context layer over servers of its own, with agents that have traces to learn from."""
    with tempfile.TemporaryDirectory(prefix="acb") as home:
        async with (
            Supervisor() as supervisor,
            open_embedded(Path(home)) as servers,
            open_database(DatabaseConfig(), servers.database_url) as database,
            open_cache(CacheConfig(), servers.redis_url, supervisor) as cache,
        ):
            await migrate(database)
            model = ScriptedModel([_answer])
            model.cost_usd = None
            world = ContextWorld(
                database,
                cache,
                supervisor,
                config=CONFIG,
                model=model,
                time=SYSTEM_CLOCK,
                pacing=pacing,
            )
            async with database.begin() as connection:
                await connection.execute(text(MANY_AGENTS), {"agents": agents})
            await _traced(database, agents=agents, traces=traces)
            yield world


async def _traced(database: Database, *, agents: int, traces: int, after: int = 0) -> None:
    """``traces`` for each agent, a third of them failed, from second ``after`` on."""
    numbers = {"agents": agents, "traces": traces}
    async with database.begin() as connection:
        await connection.execute(text(TRACES), {**numbers, "after": after, "error": ERROR})
        await connection.execute(text(PENDING), numbers)


def _answer(prompt: str) -> str:
    """Of the reflector, then of the curator."""
    if '"deltas"' in prompt:
        return proposing(adding("Ask for the id first.", quote=ERROR))
    return reflecting("The id is not asked for.", quote=ERROR)


def _grown(number: int) -> JsonObject:
    """A content of its own for each agent: 100 bullets, some 15 KB."""
    return lived(250, first=1000 * number)[1]


async def _throughput(world: ContextWorld, seconds: float) -> float:
    """Reads of the status a second, by ten callers that never rest: each asks the database.

    For an agent of its own: what several ask for at one moment is looked up once, and how often
    that happens changes with whatever else goes on.
    """
    done = 0
    began = time.perf_counter()

    async def caller(agent: str) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            await world.contexts.evolution_status(agent)
            done += 1

    async with asyncio.TaskGroup() as group:
        for number in range(1, 11):
            group.create_task(caller(f"agent-{number}"))
    return done / (time.perf_counter() - began)


async def _pending(world: ContextWorld) -> int:
    async with world.database.begin() as connection:
        counted = "SELECT count(*) FROM evolution_status WHERE pending_traces > 0"
        return int(await connection.scalar(text(counted)) or 0)


async def _evolved(world: ContextWorld) -> int:
    async with world.database.begin() as connection:
        counted = "SELECT count(*) FROM evolution_status WHERE last_evolution IS NOT NULL"
        return int(await connection.scalar(text(counted)) or 0)


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
