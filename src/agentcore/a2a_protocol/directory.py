"""Agents as callers find them: the tenant's registered ones, and those that run in the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.discovery import Match, Wish, rank
from agentcore.a2a_protocol.errors import AgentNotFound, InvalidParams
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting, tenant_id
from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import Candidate
from agentcore.a2a_protocol.registry.reading import CardReader
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.clock import Clock
from agentcore.kit.security import SERVICE, Principal

SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MatchPage:
    matches: tuple[Match, ...]
    next_cursor: str | None


class TenantDirectory:
    """An ``AgentDirectory`` over the registry's rows and the agents of this process."""

    def __init__(
        self,
        agents: AgentStore,
        store: RegistryStore,
        hosted: HostedAgents,
        reader: CardReader,
        *,
        clock: Clock,
        metrics: RegistryMetrics,
    ) -> None:
        self._agents = agents
        self._store = store
        self._hosted = hosted
        self._reader = reader
        self._clock = clock
        self._metrics = metrics

    async def discover(
        self,
        wish: Wish,
        principal: Principal,
        *,
        limit: int,
        cursor: str | None = None,
        usable: bool = True,
    ) -> MatchPage:
        """Active agents of the tenant and hosted ones that fit, best first.

        With ``usable`` those that are known not to answer are left out.
        """
        after = _rank_position(cursor) if cursor else None
        with self._metrics.discovery.time():
            found = await self._store.search(
                principal.tenant,
                wish,
                self._clock.now(),
                limit=limit + 1,
                after=after,
                usable=usable,
            )
            found += [
                match
                for match in rank(await self._hosted_for(principal), wish)
                if after is None or match.order > after
            ]
        ranked = sorted(found, key=lambda match: match.order)
        page = tuple(ranked[:limit])
        if len(ranked) <= limit:
            return MatchPage(page, None)
        last = page[-1]
        return MatchPage(page, cursors.encode(str(last.score), last.agent.agent_id))

    async def candidates(
        self, wish: Wish, principal: Principal, *, limit: int = 20
    ) -> Sequence[Candidate]:
        page = await self.discover(wish, principal, limit=limit, usable=False)
        return await self._candidates(page.matches)

    async def candidate(self, agent_id: str, principal: Principal) -> Candidate:
        """Raises ``CardNotSigned`` where keys were set for its origin after it was registered."""
        hosting = self._hosted.find(agent_id)
        if hosting is not None:
            found = hosted_record(hosting, await self._status(hosting, principal))
        else:
            found = await self._found(agent_id, principal)
        (candidate,) = await self._candidates([Match(found, 0)])
        return candidate

    async def _found(self, agent_id: str, principal: Principal) -> AgentRecord:
        found = await self._agents.find(agent_id)
        if found is None or found.owner.tenant != principal.tenant:
            raise AgentNotFound(agent_id)
        if found.card is not None:
            places = [found.card_url] if found.card_url else []
            card = self._reader.standing(found.card, *places, tenant=principal.tenant)
            found = replace(found, card=card)
        return found.at(self._clock.now())

    async def _status(self, hosting: Hosting, principal: Principal) -> AgentStatus:
        own = tenant_id(hosting.agent_id, principal.tenant)
        return (await self._store.statuses([own])).get(own, AgentStatus.ACTIVE)

    async def _hosted_for(self, principal: Principal) -> Sequence[AgentRecord]:
        """The hosted agents that the tenant has not taken out of service for itself."""
        own = {tenant_id(each.agent_id, principal.tenant): each for each in self._hosted}
        statuses = await self._store.statuses(own) if own else {}
        return [
            hosted_record(hosting)
            for agent_id, hosting in own.items()
            if statuses.get(agent_id, AgentStatus.ACTIVE) is AgentStatus.ACTIVE
        ]

    async def _candidates(self, matches: Sequence[Match]) -> Sequence[Candidate]:
        load = await self._agents.load([match.agent.agent_id for match in matches])
        return [_candidate(match, load.get(match.agent.agent_id, 0)) for match in matches]


def hosted_record(hosting: Hosting, status: AgentStatus = AgentStatus.ACTIVE) -> AgentRecord:
    """An agent of this process as the registry would have it; it belongs to the service."""
    return AgentRecord(
        agent_id=hosting.agent_id,
        owner=Owner(tenant=SERVICE, subject=SERVICE),
        name=hosting.name or hosting.agent_id,
        version="1.0.0",
        status=status,
        description=hosting.description,
        capabilities=(),
        skills=hosting.skills,
        created_at=SINCE_EVER,
        updated_at=SINCE_EVER,
        last_seen=SINCE_EVER,
        handler=hosting.agent_id,
        health=AgentHealth.HEALTHY,
    )


def _candidate(match: Match, open_tasks: int) -> Candidate:
    agent = match.agent
    return Candidate(
        agent_id=agent.handler or agent.agent_id,
        name=agent.name,
        status=agent.status,
        health=agent.health,
        score=match.score,
        open_tasks=open_tasks,
        capabilities=agent.capabilities,
        skills=agent.skills,
        hosted=agent.handler is not None,
        endpoint=agent.endpoint,
        card=agent.card,
    )


def _rank_position(cursor: str) -> tuple[int, str]:
    score, agent_id = cursors.decode(cursor)
    # As an integer of PostgreSQL: a token may be made by anybody.
    if not score.isdecimal() or len(score) > 9:
        raise InvalidParams("the page token is not one of agent.discover")
    return -int(score), agent_id
