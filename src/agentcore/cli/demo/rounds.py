"""Rounds of the demo: play the episodes, then let ACE learn from their traces."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from statistics import fmean, stdev

from agentcore.agents.episode import EpisodePlan, EpisodePlayer, EpisodeReport
from agentcore.cli.demo.peers import AgentCoreApi, ContextPlaybooks, GatewayMind, RpcWorld
from agentcore.kit.clock import Clock
from agentcore.kit.errors import DeadlineExceeded, InvalidInput
from agentcore.kit.jsonvalue import JsonObject

ENVIRONMENT = "a2a_protocol_test"
MODEL = "playbook-7b"
CONCURRENCY = 12
SETTLE_SECONDS = 20.0
POLL_SECONDS = 0.05
# Two-sided 95 % quantiles of Student's t by degrees of freedom; between two, the wider one counts.
T_QUANTILES = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 9: 2.26, 11: 2.20, 23: 2.07, 29: 2.05}

GOALS: JsonObject = {"goals": ["complete all tasks", "follow the A2A protocol"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the ledger says: requests by kind, cost, and the price of the same on the API."""

    self_hosted: int = 0
    api: int = 0
    cost_usd: Decimal = Decimal(0)
    api_equivalent_usd: Decimal = Decimal(0)

    def minus(self, other: Bill) -> Bill:
        return Bill(
            self_hosted=self.self_hosted - other.self_hosted,
            api=self.api - other.api,
            cost_usd=self.cost_usd - other.cost_usd,
            api_equivalent_usd=self.api_equivalent_usd - other.api_equivalent_usd,
        )

    @property
    def requests(self) -> int:
        return self.self_hosted + self.api


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    number: int
    versions: tuple[int, ...]
    rewards: tuple[float, ...]
    quality: float
    violations: float
    bill: Bill

    @property
    def mean(self) -> float:
        return fmean(self.rewards)

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean."""
        return interval(self.rewards)


def interval(values: Sequence[float]) -> float:
    if len(values) < 2:
        return float("nan")
    degrees = len(values) - 1
    known = [size for size in T_QUANTILES if size <= degrees]
    quantile = T_QUANTILES[max(known)]
    return quantile * stdev(values) / math.sqrt(len(values))


class Learners:
    """The demo's agents, each with its playbook, all speaking to one service."""

    def __init__(
        self, service: AgentCoreApi, *, agents: int, episodes: int, seed: int, clock: Clock
    ) -> None:
        self._service = service
        self._names = [f"demo-agent-{number + 1}" for number in range(agents)]
        self._episodes = episodes
        self._seed = seed
        self._clock = clock
        self._playbooks = ContextPlaybooks(service)
        self._gate = asyncio.Semaphore(CONCURRENCY)
        self._seen = Bill()

    async def register(self) -> None:
        """Make each agent known by A2A and give it a playbook that knows only its goals."""
        world = RpcWorld(self._service)
        for name in self._names:
            card: JsonObject = {
                "name": name,
                "description": "Learns the A2A protocol by playing.",
                "version": "1.0.0",
                "capabilities": {"streaming": False},
                "defaultInputModes": ["text/plain"],
                "defaultOutputModes": ["text/plain"],
                "skills": [
                    {
                        "id": "protocol",
                        "name": "Protocol",
                        "description": "Plays protocol episodes.",
                        "tags": ["a2a"],
                    }
                ],
            }
            await world.call("agent.register", {"agent_id": name, "agent_card": card})
            await self._service.post(
                "/internal/context/playbooks", {"agent_id": name, "initial_context": GOALS}
            )

    async def play(self, number: int, advance: Callable[[], None]) -> Round:
        """One round: every agent plays the same seeds as in every other round."""
        versions = [await self._version(name) for name in self._names]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._episode(name, self._seed + index, number, advance))
                for index in range(self._episodes)
                for name in self._names
            ]
        reports = [task.result() for task in tasks]
        return Round(
            number=number,
            versions=tuple(versions),
            rewards=tuple(report.reward for report in reports),
            quality=fmean(report.quality or 0.0 for report in reports),
            violations=fmean(report.violations.total() for report in reports),
            bill=await self._settled(sum(report.calls.total() for report in reports)),
        )

    async def evolve(self) -> None:
        """Let every playbook evolve once, and wait until they have."""
        before = {name: await self._evolved(name) for name in self._names}
        for name in self._names:
            await self._service.post(
                "/internal/context/evolution/trigger", {"agent_id": name, "force": True}
            )
        for name in self._names:
            await self._until(partial(self._moved_on, name, before[name]), name)
        # What learning cost belongs to no round of play.
        self._seen = await self._bill()

    async def _episode(
        self, agent_id: str, seed: int, number: int, advance: Callable[[], None]
    ) -> EpisodeReport:
        async with self._gate:
            mind = GatewayMind(self._service, MODEL, self._clock)
            player = EpisodePlayer(mind, RpcWorld(self._service), self._playbooks)
            task_id = f"round-{number}-seed-{seed}"
            report = EpisodeReport(
                EpisodePlan(agent_id=agent_id, environment=ENVIRONMENT, seed=seed, task_id=task_id)
            )
            began = self._clock.monotonic()
            async for _ in player.play(report.plan, report):
                pass
            seconds = self._clock.monotonic() - began
            await self._playbooks.record(task_id, seconds, report)
            advance()
            return report

    async def _version(self, agent_id: str) -> int:
        playbook = await self._service.get(f"/internal/context/playbooks/{agent_id}")
        version = playbook.get("version")
        return version if isinstance(version, int) else 0

    async def _evolved(self, agent_id: str) -> JsonObject:
        return await self._service.get(f"/internal/context/evolution/status/{agent_id}")

    async def _moved_on(self, agent_id: str, before: JsonObject) -> bool:
        status = await self._evolved(agent_id)
        if status.get("status") == "failed":
            raise InvalidInput(f"the evolution of {agent_id} failed", hint="see the service's log")
        moved = status.get("last_evolution") != before.get("last_evolution")
        return moved and status.get("status") == "idle"

    async def _settled(self, requests: int) -> Bill:
        """The round's bill, once the ledger has written all of its calls."""

        async def written() -> bool:
            return (await self._bill()).minus(self._seen).requests >= requests

        await self._until(written, "the ledger")
        bill = await self._bill()
        spent, self._seen = bill.minus(self._seen), bill
        return spent

    async def _bill(self) -> Bill:
        return read_bill(await self._service.get("/internal/costs/summary"))

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        end = self._clock.monotonic() + SETTLE_SECONDS
        while not await done():
            if self._clock.monotonic() > end:
                raise DeadlineExceeded(f"{what} took longer than {SETTLE_SECONDS:.0f} s")
            await self._clock.sleep(POLL_SECONDS)


def read_bill(summary: JsonObject) -> Bill:
    """The lines of a cost summary, added up by kind."""
    lines = summary.get("lines")
    rows = [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
    own = [row for row in rows if row.get("kind") == "self_hosted"]
    paid = [row for row in rows if row.get("kind") == "api"]
    return Bill(
        self_hosted=sum(int(str(row.get("calls", 0))) for row in own),
        api=sum(int(str(row.get("calls", 0))) for row in paid),
        cost_usd=_dollars(rows, "cost_usd"),
        api_equivalent_usd=_dollars(own, "api_equivalent_usd") + _dollars(paid, "cost_usd"),
    )


def _dollars(rows: Sequence[JsonObject], name: str) -> Decimal:
    return sum((Decimal(str(row.get(name) or 0)) for row in rows), Decimal(0))
