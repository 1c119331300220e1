"""Agents from their registration to their end, with events for those who follow them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.directory import hosted_record
from agentcore.a2a_protocol.errors import (
    AgentIdOfNoTenant,
    AgentIdTaken,
    AgentNotFound,
    IllegalMove,
    NotTheOwner,
)
from agentcore.a2a_protocol.hosting import HostedAgents, tenant_id
from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.models.agent import (
    STEPS,
    AgentHealth,
    AgentRecord,
    AgentStatus,
    Happening,
    Move,
    Step,
    moves_from,
)
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.naming import AgentNames
from agentcore.a2a_protocol.registry.health import address, with_card
from agentcore.a2a_protocol.registry.reading import CardReader, places
from agentcore.a2a_protocol.registry.telling import REGISTERED, TURN, Teller
from agentcore.a2a_protocol.store import AgentStore, Entry
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.security import SERVICE, Principal
from agentcore.kit.supervisor import Supervisor

# At most so many at once ask the database who owns an agent.
LOOKS = 4
# At most so many registrations at once read a card.
READS = 16
# Lines of the log that are shown with an agent.
LOGGED = 20
DRAINED = Step(frozenset({AgentStatus.DRAINING}), AgentStatus.SUSPENDED)
TASKS_ENDED = "its tasks have ended"


@dataclass(frozen=True, slots=True)
class AgentPage:
    agents: tuple[AgentRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """How an agent begins: without ``active`` it waits until it is resumed.

    With ``heartbeat_seconds`` it counts as silent when it was not heard for that long.
    """

    active: bool = True
    heartbeat_seconds: float | None = None


class AgentLifecycleManager:
    """Agents are seen by their tenant and changed by their owner; their ids are global.
    What a hosted agent is to one tenant is an agent of that tenant, which its admins change.
    """

    def __init__(
        self,
        store: AgentStore,
        teller: Teller,
        reader: CardReader,
        *,
        hosted: HostedAgents,
        metrics: RegistryMetrics,
        supervisor: Supervisor,
        clock: Clock,
        names: AgentNames,
    ) -> None:
        self._store = store
        self._teller = teller
        self._reader = reader
        self._hosted = hosted
        self._metrics = metrics
        self._clock = clock
        self._names = names
        self._supervisor = supervisor
        self._asked: dict[str, asyncio.Future[Owner | None]] = {}
        self._looking = asyncio.Semaphore(LOOKS)
        self._reading = asyncio.Semaphore(READS)

    async def register(
        self,
        card: AgentCard,
        principal: Principal,
        *,
        agent_id: str | None = None,
        promise: Promise = Promise(),
    ) -> AgentRecord:
        """Make the agent known; its owner may repeat it to change the card, not the state.

        Listeners have been called when this returns; one that fails is called again later.

        Raises:
            AgentIdTaken: the id belongs to somebody else.
            AgentIdOfNoTenant: ids have to end with their tenant, and this one does not.
            TooManyAgents: the tenant has as many as it may have.
            CardNotSigned: the operator wants cards of its address signed.
        """
        agent_id = await self._named(agent_id, principal)
        card = self._reader.checked(card, tenant=principal.tenant)
        record = self._described(card, principal, agent_id, promise)
        if places(address(record.endpoint)):
            record = replace(record, check_at=record.created_at)
        return await self._put(record)

    async def register_at(
        self,
        card_url: str,
        principal: Principal,
        *,
        agent_id: str | None = None,
        promise: Promise = Promise(),
    ) -> AgentRecord:
        """As :meth:`register`, with the card that is at ``card_url``, now and in the future.

        Raises:
            InvalidParams: the address may not be connected to.
            CardUnreadable: there is no card.
        """
        agent_id = await self._named(agent_id, principal)
        async with self._reading:
            found = await self._reader.read(card_url, tenant=principal.tenant)
        if found.card is None:
            raise AgentNotFound(card_url)
        record = self._described(found.card, principal, agent_id, promise)
        now = record.created_at
        followed = replace(
            record,
            card_url=card_url,
            card_etag=found.etag,
            health=AgentHealth.HEALTHY,
            checked_at=now,
            check_at=now,
        )
        return await self._put(followed)

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        """Register the agent for ``principal`` unless it exists, whoever owns it then."""
        if self._hosted.behind(agent_id, principal.tenant) is None:
            agent_id = await self._named(agent_id, principal)
        record = self._record(agent_id, principal)
        event_id = await self._store.ensure(record, self._entry(REGISTERED, record.owner.subject))
        if event_id is not None:
            await self._tell(event_id, REGISTERED, record)

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
        found = await self._store.find(self._row_of(agent_id, principal))
        if found is None and (hosting := self._hosted.find(agent_id)) is not None:
            return hosted_record(hosting)
        if found is None or found.owner.tenant != principal.tenant:
            raise AgentNotFound(agent_id)
        return found.at(self._clock.now())

    async def log(self, agent: AgentRecord) -> Sequence[Happening]:
        """What has happened to it, newest first; the caller has been let in to it before."""
        return await self._store.log(agent.agent_id, LOGGED)

    async def list(
        self,
        principal: Principal,
        *,
        limit: int,
        cursor: str | None,
        status: AgentStatus | None = None,
    ) -> AgentPage:
        """The tenant's agents, newest first, terminated ones included."""
        after = cursors.decode_position(cursor) if cursor else None
        found = await self._store.page(
            principal.tenant, limit=limit + 1, after=after, status=status
        )
        now = self._clock.now()
        page = tuple(agent.at(now) for agent in found[:limit])
        if len(found) <= limit:
            return AgentPage(page, None)
        return AgentPage(page, cursors.encode_position(page[-1].created_at, page[-1].agent_id))

    async def active(self, principal: Principal, *, limit: int) -> Sequence[AgentRecord]:
        """The first of the tenant's active agents, by id."""
        return await self._store.active(principal.tenant, limit=limit)

    async def beat(self, agent_id: str, principal: Principal) -> AgentRecord:
        """Note that the agent is alive; what it gets back says in which state it is to be.

        Raises:
            NotTheOwner: it belongs to another subject of the tenant.
            IllegalMove: it is terminated.
        """
        found = await self._changeable(agent_id, principal)
        now = self._clock.now()
        seconds = found.heartbeat_seconds
        until = None if seconds is None else now + timedelta(seconds=seconds)
        if not await self._store.beat(found.agent_id, now, until):
            raise _illegal(await self.get(agent_id, principal), "a heartbeat")
        plain = replace(found, health=AgentHealth.UNKNOWN, health_reason="")
        heard = plain if found.health is AgentHealth.SILENT else found
        return replace(heard, last_seen=now, expires_at=until).at(now)

    async def move(
        self, agent_id: str, move: Move, principal: Principal, *, reason: str = ""
    ) -> AgentRecord:
        """Take the agent to another state; repeating a move changes nothing.

        A terminated agent's row stays, for the traces that refer to it.

        Raises:
            NotTheOwner: it belongs to another subject of the tenant.
            IllegalMove: its state does not lead there.
        """
        found = await self._changeable(agent_id, principal)
        step = STEPS[move]
        moved = await self._moved(found, step, by=principal.subject, reason=reason)
        after = moved or await self.get(agent_id, principal)
        if after.status is not step.after:
            raise _illegal(after, move.value)
        return after

    async def erase(self, agent_id: str, principal: Principal) -> None:
        """Remove a terminated agent with its log, its playbook and its traces.

        Its tasks stay as long as others do: they are their callers'.

        Raises:
            NotTheOwner: it belongs to another subject of the tenant.
            IllegalMove: it is not terminated.
        """
        found = await self._changeable(agent_id, principal)
        if found.status is AgentStatus.TERMINATED:
            # Who dies behind the commit tells nobody any more.
            await self._teller.tell_erased(found)
        if not await self._store.erase(found.agent_id):
            raise _illegal(await self.get(agent_id, principal), "erasing it")
        await self._teller.tell_erased(found)

    async def drained(self, agent_id: str) -> None:
        """The agent's tasks have ended: whoever looks first suspends it, if it still drains."""
        found = await self._store.find(agent_id)
        if found is not None:
            await self._moved(found, DRAINED, by=SERVICE, reason=TASKS_ENDED)

    async def _moved(
        self, found: AgentRecord, step: Step, *, by: str, reason: str
    ) -> AgentRecord | None:
        what = step.after.value
        moved = await self._store.move(found.agent_id, step, self._entry(what, by, reason))
        if moved is None:
            return None
        after, event_id = moved
        self._metrics.moves.labels(what).inc()
        await self._tell(event_id, what, after, before=found.status)
        return after.at(self._clock.now())

    async def _changeable(self, agent_id: str, principal: Principal) -> AgentRecord:
        if agent_id in self._hosted and principal.may("admin"):
            await self.ensure(self._row_of(agent_id, principal), principal)
        found = await self.get(agent_id, principal)
        mine = found.handler is None and found.owner.subject == principal.subject
        if not mine and not principal.may("admin"):
            whose = "the service" if found.handler else repr(found.owner.subject)
            raise NotTheOwner(
                f"the agent {agent_id!r} belongs to {whose}", hint="its owner or an admin may"
            )
        return found

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

    async def _named(self, chosen: str | None, principal: Principal) -> str:
        """The id; the tenant's agents from before ids had to end with it keep theirs."""
        try:
            return self._names.of(chosen, principal.tenant)
        except AgentIdOfNoTenant as refused:
            found = await self._store.find(str(chosen))
            if found is None or found.owner.tenant != principal.tenant:
                raise refused from None
            return found.agent_id

    def _row_of(self, agent_id: str, principal: Principal) -> str:
        """The id under which the tenant knows the agent: a hosted one has a row per tenant."""
        return tenant_id(agent_id, principal.tenant) if agent_id in self._hosted else agent_id

    async def _put(self, record: AgentRecord) -> AgentRecord:
        entry = self._entry(REGISTERED, record.owner.subject)
        stored, event_id = await self._store.put(record, entry)
        if event_id is not None:
            await self._tell(event_id, REGISTERED, stored)
        return stored.at(self._clock.now())

    async def _tell(
        self, event_id: int, what: str, agent: AgentRecord, before: AgentStatus | None = None
    ) -> None:
        await self._teller.tell(event_id, what, agent, before=before, after=agent.status)

    def _entry(self, what: str, by: str, reason: str = "") -> Entry:
        now = self._clock.now()
        return Entry(what=what, by=by, at=now, reason=reason, tell_at=now + TURN)

    def _described(
        self, card: AgentCard, principal: Principal, agent_id: str, promise: Promise
    ) -> AgentRecord:
        record = with_card(self._record(agent_id, principal), card)
        seconds = promise.heartbeat_seconds
        return replace(
            record,
            status=AgentStatus.ACTIVE if promise.active else AgentStatus.REGISTERED,
            heartbeat_seconds=seconds,
            expires_at=None if seconds is None else record.created_at + timedelta(seconds=seconds),
        )

    def _record(self, agent_id: str, principal: Principal) -> AgentRecord:
        if self._hosted.reserves(agent_id, principal.tenant):
            raise AgentIdTaken(agent_id)
        now = self._clock.now()
        record = _plain(agent_id, principal, now)
        hosting = self._hosted.behind(agent_id, principal.tenant)
        if hosting is None:
            return record
        shown = hosted_record(hosting)
        return replace(
            record,
            name=shown.name,
            description=shown.description,
            skills=shown.skills,
            handler=hosting.agent_id,
            health=AgentHealth.HEALTHY,
        )


def _plain(agent_id: str, principal: Principal, now: datetime) -> AgentRecord:
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
        changed_at=now,
        last_seen=now,
    )


def _illegal(agent: AgentRecord, move: str) -> IllegalMove:
    legal = [each.value for each in moves_from(agent.status)]
    return IllegalMove(agent.agent_id, move, agent.status.value, legal)
