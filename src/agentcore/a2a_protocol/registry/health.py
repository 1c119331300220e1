"""Looking after remote agents: one that shows its card is well."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from agentcore.a2a_protocol.errors import CardUnreadable, InvalidParams
from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentRecord
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.registry.reading import CardReader, ReadCard, places
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.store import AgentStore, Entry
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import SERVICE

AT_ONCE = 16
LOOK_SECONDS = 2.0
# For this long nobody else reads a card that somebody has begun to read.
CLAIM = timedelta(seconds=60)
FIRST_BACKOFF, LONGEST_BACKOFF = 5.0, 600.0
# One that does not answer once may just be starting.
UNHEALTHY_AFTER = 3

log = structlog.get_logger()


class HealthChecks:
    """Any number of processes share the agents: each look belongs to one of them."""

    def __init__(
        self,
        store: RegistryStore,
        agents: AgentStore,
        reader: CardReader,
        *,
        seconds: float,
        clock: Clock,
        metrics: RegistryMetrics,
    ) -> None:
        self._store = store
        self._agents = agents
        self._reader = reader
        self._seconds = seconds
        self._clock = clock
        self._metrics = metrics

    async def watch(self) -> None:
        """Read the cards that are due; runs until cancelled."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                # A slow agent holds its own place, and nobody else's.
                now = self._clock.now()
                free = AT_ONCE - len(running)
                due = await self._store.due_checks(now, now + CLAIM, free) if free else []
                for agent in due:
                    task = group.create_task(self.check(agent))
                    running.add(task)
                    task.add_done_callback(running.discard)
                if len(due) < free or not running:
                    await self._clock.sleep(LOOK_SECONDS)
                else:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def check(self, agent: AgentRecord) -> None:
        """Read the card of an agent that was given to us, and write what it shows."""
        now = self._clock.now()
        try:
            found = await self._read(agent)
        except CardUnreadable as error:
            after = unanswered(agent, error.reason, now)
        except InvalidParams as error:
            after = unasked(agent, error.detail, now)
        else:
            after = answered(agent, found, now, self._seconds)
        if not await self._store.checked(agent, after):
            return
        self._metrics.checks.labels("failed" if after.health_reason else "ok").inc()
        if after.health is not agent.health:
            log.info("an agent's health has changed", agent_id=agent.agent_id, now=after.health)
            reason = after.health_reason
            entry = Entry(what=after.health.value, by=SERVICE, at=now, reason=reason)
            await self._agents.note(after, entry)

    async def _read(self, agent: AgentRecord) -> ReadCard:
        tenant = agent.owner.tenant
        if agent.card_url is not None:
            return await self._reader.read(agent.card_url, tenant=tenant, etag=agent.card_etag)
        return await self._reader.read_first(places(address(agent.endpoint)), tenant=tenant)


def answered(agent: AgentRecord, found: ReadCard, now: datetime, seconds: float) -> AgentRecord:
    """The agent whose card was read; where the registry follows its card, the card counts."""
    well = replace(
        agent,
        health=AgentHealth.HEALTHY,
        health_reason="",
        failures=0,
        checked_at=now,
        check_at=now + timedelta(seconds=seconds * _spread(agent.agent_id)),
    )
    if agent.card_url is None or found.card is None:
        return well
    followed = replace(with_card(well, found.card), card_etag=found.etag)
    return followed if followed.card == agent.card else replace(followed, updated_at=now)


def unanswered(agent: AgentRecord, reason: str, now: datetime) -> AgentRecord:
    failures = agent.failures + 1
    wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 16))
    return replace(
        agent,
        health=AgentHealth.UNHEALTHY if failures >= UNHEALTHY_AFTER else agent.health,
        health_reason=reason,
        failures=failures,
        checked_at=now,
        check_at=now + timedelta(seconds=wait * _spread(agent.agent_id)),
    )


def unasked(agent: AgentRecord, reason: str, now: datetime) -> AgentRecord:
    """The agent at an address that may not be connected to: of its health nothing is known."""
    return replace(
        agent,
        health=AgentHealth.UNKNOWN,
        health_reason=reason,
        failures=0,
        checked_at=now,
        check_at=now + timedelta(seconds=LONGEST_BACKOFF),
    )


def with_card(agent: AgentRecord, card: AgentCard) -> AgentRecord:
    """The agent as its card describes it."""
    dumped: JsonObject = card.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return replace(
        agent,
        name=card.name,
        version=card.version,
        description=card.description,
        capabilities=card.capability_names(),
        skills=tuple(skill.model_dump(mode="json") for skill in card.skills),
        endpoint=card.endpoint(),
        card=dumped,
        metadata=card.metadata,
    )


def address(endpoint: JsonObject | None) -> str:
    """Where an agent answers; empty where nobody knows."""
    return "" if endpoint is None else str(endpoint.get("url", ""))


def _spread(agent_id: str) -> float:
    """Around 1, always the same for an agent: those registered together part their ways."""
    return 0.9 + 0.2 * (zlib.crc32(agent_id.encode()) % 1000) / 1000
