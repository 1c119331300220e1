"""Agents as callers find them: the tenant's registered ones, and those that run in the service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agentcore.a2a_protocol.discovery import Match, Wish, rank
from agentcore.a2a_protocol.errors import AgentNotFound
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.models.agent_card import AgentHealth, AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import Candidate
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.security import SERVICE, Principal

SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class TenantDirectory:
    """An ``AgentDirectory`` over the registry's rows and the agents of this process."""

    def __init__(self, store: AgentStore, hosted: HostedAgents) -> None:
        self._store = store
        self._hosted = hosted

    async def candidates(
        self, wish: Wish, principal: Principal, *, limit: int = 20
    ) -> Sequence[Candidate]:
        known = [*await self._store.active(principal.tenant), *map(hosted_record, self._hosted)]
        return await self._candidates(rank(known, wish)[:limit])

    async def candidate(self, agent_id: str, principal: Principal) -> Candidate:
        found = self._here(agent_id) or await self._store.find(agent_id)
        if found is None or found.owner.tenant not in {principal.tenant, SERVICE}:
            raise AgentNotFound(agent_id)
        (candidate,) = await self._candidates([Match(found, 0)])
        return candidate

    def _here(self, agent_id: str) -> AgentRecord | None:
        return next(
            (hosted_record(each) for each in self._hosted if each.agent_id == agent_id), None
        )

    async def _candidates(self, matches: Sequence[Match]) -> Sequence[Candidate]:
        load = await self._store.load([match.agent.agent_id for match in matches])
        return [self._candidate(match, load.get(match.agent.agent_id, 0)) for match in matches]

    def _candidate(self, match: Match, open_tasks: int) -> Candidate:
        agent, hosted = match.agent, match.agent.agent_id in self._hosted
        return Candidate(
            agent_id=agent.agent_id,
            name=agent.name,
            status=agent.status,
            health=AgentHealth.HEALTHY if hosted else AgentHealth.UNKNOWN,
            score=match.score,
            open_tasks=open_tasks,
            capabilities=agent.capabilities,
            skills=agent.skills,
            hosted=hosted,
            endpoint=agent.endpoint,
            card=agent.card,
        )


def hosted_record(hosting: Hosting) -> AgentRecord:
    """An agent of this process as the registry would have it; it belongs to the service."""
    return AgentRecord(
        agent_id=hosting.agent_id,
        owner=Owner(tenant=SERVICE, subject=SERVICE),
        name=hosting.name or hosting.agent_id,
        version="1.0.0",
        status=AgentStatus.ACTIVE,
        description=hosting.description,
        capabilities=(),
        skills=hosting.skills,
        created_at=SINCE_EVER,
        updated_at=SINCE_EVER,
        last_seen=SINCE_EVER,
    )
