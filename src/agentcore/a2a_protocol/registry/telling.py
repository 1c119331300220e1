"""Telling listeners what has happened to agents: at once, and again where that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from datetime import timedelta

import structlog

from agentcore.a2a_protocol.models.agent import AgentRecord, AgentStatus
from agentcore.a2a_protocol.ports import AgentEvent, LifecycleListener
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.clock import Clock
from agentcore.kit.supervisor import Supervisor

# A process that has written a line tells it; after this time another one does.
TURN = timedelta(seconds=60)
FIRST_BACKOFF, LONGEST_BACKOFF = 5.0, 600.0
MOST_ATTEMPTS = 12
PAGE = 50
REGISTERED = "registered"

log = structlog.get_logger()


class Teller:
    """Each line of an agent's log is told at least once, also if the process that wrote it died."""

    def __init__(
        self,
        agents: AgentStore,
        store: RegistryStore,
        listeners: Sequence[LifecycleListener],
        *,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._agents = agents
        self._store = store
        self._listeners = tuple(listeners)
        self._supervisor = supervisor
        self._clock = clock

    async def tell(
        self,
        event_id: int,
        what: str,
        agent: AgentRecord,
        *,
        before: AgentStatus | None,
        after: AgentStatus,
        attempts: int = 0,
    ) -> None:
        """Tell all of them; returns when each has heard it, or failed to."""
        event = _event(agent, before, after)
        failed = await self._failed(_call(listener, what, event) for listener in self._listeners)
        if failed and attempts >= MOST_ATTEMPTS:
            log.warning("a lifecycle event is given up", agent_id=agent.agent_id, what=what)
            failed = False
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**attempts)
        again = self._clock.now() + timedelta(seconds=wait) if failed else None
        await self._agents.told(event_id, again=again)

    async def tell_erased(self, agent: AgentRecord) -> None:
        """Its log is gone with it, so nobody else could tell."""
        event = _event(agent, agent.status, AgentStatus.TERMINATED)
        await self._failed(listener.agent_erased(event) for listener in self._listeners)

    async def tell_untold(self) -> None:
        """What was written and not told, by whichever process it was."""
        now = self._clock.now()
        for happening, agent in await self._store.untold(now, now + TURN, PAGE):
            await self.tell(
                happening.event_id,
                happening.what,
                agent,
                before=AgentStatus(happening.before) if happening.before else None,
                after=AgentStatus(happening.after),
                attempts=happening.attempts,
            )

    async def _failed(self, calls: Iterable[Coroutine[None, None, None]]) -> bool:
        telling = [self._supervisor.spawn("lifecycle event", call) for call in calls]
        if telling:
            await asyncio.wait(telling)
        return any(task.cancelled() or task.exception() is not None for task in telling)


def _event(agent: AgentRecord, before: AgentStatus | None, after: AgentStatus) -> AgentEvent:
    return AgentEvent(
        agent_id=agent.agent_id,
        tenant=agent.owner.tenant,
        owner=agent.owner.subject,
        name=agent.name,
        capabilities=agent.capabilities,
        before=before,
        after=after,
    )


def _call(listener: LifecycleListener, what: str, event: AgentEvent) -> Coroutine[None, None, None]:
    if what == REGISTERED:
        return listener.agent_registered(event)
    if what == AgentStatus.TERMINATED:
        return listener.agent_terminated(event)
    return listener.agent_moved(event)
