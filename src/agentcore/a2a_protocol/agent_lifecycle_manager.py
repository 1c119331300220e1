"""Agents from their registration to their end, with events for those who follow them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.discovery import Match, Wish, rank
from agentcore.a2a_protocol.errors import AgentIdTaken, AgentNotFound, InvalidParams, NotTheOwner
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.models.agent_card import AgentCard, AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import AgentEvent, LifecycleListener
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor

# At most so many at once ask the database who owns an agent.
LOOKS = 4


@dataclass(frozen=True, slots=True)
class AgentPage:
    agents: tuple[AgentRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class MatchPage:
    matches: tuple[Match, ...]
    next_cursor: str | None


class AgentLifecycleManager:
    """Agents are seen by their tenant and changed by their owner; their ids are global."""

    def __init__(
        self,
        store: AgentStore,
        *,
        hosted: HostedAgents,
        listeners: Sequence[LifecycleListener],
        supervisor: Supervisor,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._hosted = hosted
        self._listeners = tuple(listeners)
        self._supervisor = supervisor
        self._clock = clock
        self._ids = ids
        self._asked: dict[str, asyncio.Future[Owner | None]] = {}
        self._looking = asyncio.Semaphore(LOOKS)

    async def register(
        self, card: AgentCard, principal: Principal, *, agent_id: str | None = None
    ) -> AgentRecord:
        """Make the agent known; its owner may repeat it to change the card.

        Listeners have been called when this returns; one that fails does not undo it.

        Raises:
            AgentIdTaken: the id belongs to somebody else.
        """
        dumped: JsonObject = card.model_dump(mode="json", by_alias=True, exclude_unset=True)
        skills: list[JsonObject] = [skill.model_dump(mode="json") for skill in card.skills]
        record = replace(
            self._record(agent_id or str(self._ids.new()), principal),
            name=card.name,
            version=card.version,
            description=card.description,
            capabilities=card.capability_names(),
            skills=tuple(skills),
            endpoint=card.endpoint(),
            card=dumped,
            metadata=card.metadata,
        )
        stored, appeared = await self._store.put(record)
        if appeared:
            await self._tell_registered(stored)
        return stored

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        """Register the agent for ``principal`` unless it exists, whoever owns it then."""
        record = self._record(agent_id, principal)
        if await self._store.ensure(record):
            await self._tell_registered(record)

    async def owner(self, agent_id: str) -> Owner | None:
        """Who owns the agent; None when there is no such agent.

        The end of each task asks: those who come before a look begins share it.
        """
        asked = self._asked.get(agent_id)
        if asked is None:
            asked = self._asked[agent_id] = asyncio.get_running_loop().create_future()
            self._supervisor.spawn(f"owner of {agent_id}", self._look_up(agent_id, asked))
        return await asyncio.shield(asked)

    async def get(self, agent_id: str, principal: Principal) -> AgentRecord:
        found = await self._store.find(agent_id)
        if found is None or found.owner.tenant != principal.tenant:
            raise AgentNotFound(agent_id)
        return found

    async def list(self, principal: Principal, *, limit: int, cursor: str | None) -> AgentPage:
        """The tenant's agents, newest first, terminated ones included."""
        after = cursors.decode_position(cursor) if cursor else None
        found = await self._store.page(principal.tenant, limit=limit + 1, after=after)
        page = tuple(found[:limit])
        if len(found) <= limit:
            return AgentPage(page, None)
        return AgentPage(page, cursors.encode_position(page[-1].created_at, page[-1].agent_id))

    async def active(self, principal: Principal) -> Sequence[AgentRecord]:
        """The tenant's active agents, by id."""
        return await self._store.active(principal.tenant)

    async def discover(
        self, wish: Wish, principal: Principal, *, limit: int, cursor: str | None
    ) -> MatchPage:
        """Active agents of the tenant that fit, best first."""
        ranked = rank(await self._store.active(principal.tenant), wish)
        if cursor:
            after = _rank_position(cursor)
            ranked = [match for match in ranked if match.order > after]
        page = tuple(ranked[:limit])
        if len(ranked) <= limit:
            return MatchPage(page, None)
        last = page[-1]
        return MatchPage(page, cursors.encode(str(last.score), last.agent.agent_id))

    async def terminate(self, agent_id: str, principal: Principal) -> AgentRecord:
        """End the agent; its row stays, for the traces that refer to it. Repeating changes nothing.

        Raises:
            NotTheOwner: it belongs to another subject of the tenant.
        """
        found = await self.get(agent_id, principal)
        if found.owner.subject != principal.subject and not principal.may("admin"):
            raise NotTheOwner(f"the agent {agent_id!r} belongs to {found.owner.subject!r}")
        ended = await self._store.terminate(agent_id, self._clock.now())
        if ended is None:
            return await self.get(agent_id, principal)
        event = _event(ended)
        await self._tell([listener.agent_terminated(event) for listener in self._listeners])
        return ended

    async def _look_up(self, agent_id: str, asked: asyncio.Future[Owner | None]) -> None:
        async with self._looking:
            # Who asks from now on may have changed what this look does not see yet.
            del self._asked[agent_id]
            try:
                found = await self._store.find(agent_id)
            except AgentCoreError as error:
                asked.set_exception(error)
            else:
                asked.set_result(None if found is None else found.owner)
            finally:
                asked.cancel()

    async def _tell_registered(self, record: AgentRecord) -> None:
        event = _event(record)
        await self._tell([listener.agent_registered(event) for listener in self._listeners])

    async def _tell(self, calls: Sequence[Coroutine[None, None, None]]) -> None:
        telling = [self._supervisor.spawn("lifecycle event", call) for call in calls]
        if telling:
            await asyncio.wait(telling)

    def _record(self, agent_id: str, principal: Principal) -> AgentRecord:
        if self._hosted.reserves(agent_id, principal.tenant):
            raise AgentIdTaken(agent_id)
        now = self._clock.now()
        return AgentRecord(
            agent_id=agent_id,
            owner=Owner(tenant=principal.tenant, subject=principal.subject),
            name=agent_id,
            version="1.0.0",
            status=AgentStatus.ACTIVE,
            description="",
            capabilities=(),
            skills=(),
            created_at=now,
            updated_at=now,
            last_seen=now,
        )


def _event(record: AgentRecord) -> AgentEvent:
    return AgentEvent(
        agent_id=record.agent_id,
        tenant=record.owner.tenant,
        owner=record.owner.subject,
        name=record.name,
        capabilities=record.capabilities,
    )


def _rank_position(cursor: str) -> tuple[int, str]:
    score, agent_id = cursors.decode(cursor)
    if not score.isdecimal():
        raise InvalidParams("the page token is not one of agent.discover")
    return -int(score), agent_id
