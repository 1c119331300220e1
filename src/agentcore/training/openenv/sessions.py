"""Environment sessions of callers: opened by name, owned, bounded, closed when forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.observability.tracing import NO_TRACING, Tracer
from agentcore.training.openenv.adapters import A2AOpenEnvAdapter
from agentcore.training.openenv.errors import (
    CapacityReached,
    EnvironmentSessionConflict,
    EnvironmentSessionNotFound,
    SessionLimitReached,
    WatcherLimitReached,
)
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.journal import Journal
from agentcore.training.openenv.metrics import UNWATCHED
from agentcore.training.openenv.models import (
    EnvironmentInfo,
    RemoteEnvironment,
    SessionPage,
    SessionView,
    TrainingConfig,
)
from agentcore.training.openenv.ports import EnvironmentWatch, SessionWatch
from agentcore.training.openenv.session import EnvironmentSession, Opening, Surroundings
from agentcore.training.openenv.subscriptions import Subscription

# The client, with its HTTP and WebSocket libraries, is loaded when the first session opens.
if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

LONGEST_REAP_PAUSE = 30.0
# Tenant and subject of the owner, and what it calls the session.
Name = tuple[str, str, str]

log = structlog.get_logger()


class EnvironmentSessions:
    """All sessions of this process.

    Bundled environments are reached as every other: over the WebSocket of the server mounted at
    ``base_url()/{name}``, with ``token()`` as credential.
    """

    def __init__(
        self,
        config: TrainingConfig,
        inventory: Inventory,
        *,
        clock: Clock,
        ids: Ids,
        watch: Callable[[RemoteEnvironment], EnvironmentWatch] = lambda _: UNWATCHED,
        tracer: Tracer = NO_TRACING,
    ) -> None:
        self._config = config
        self.inventory = inventory
        self._clock = clock
        self._ids = ids
        self._watch = watch
        self._on = Surroundings(
            clock=clock, tracer=tracer, heartbeat_seconds=config.events.heartbeat_seconds
        )
        self._sessions: dict[str, EnvironmentSession] = {}
        # What owners call their sessions: a name means nothing to anybody else.
        self._named: dict[Name, EnvironmentSession] = {}
        self._opening: WeakValueDictionary[Name, asyncio.Lock] = WeakValueDictionary()
        self._held: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(
        self,
        principal: Principal,
        environment: str,
        *,
        url: str | None = None,
        agents: Iterable[str] = (),
        session_id: str | None = None,
        seed: int | None = None,
    ) -> EnvironmentSession:
        """Open a session of the environment named ``environment``; ``url`` may repeat a remote's.

        ``seed`` starts the first episode. With a ``session_id`` of the caller's choice the same
        call again, also while the first still runs, gives the same session.

        Raises:
            EnvironmentNotFoundError: neither bundled nor configured nor registered.
            AmbiguousEnvironment: registered environments of several sources have the name.
            EnvironmentSessionConflict: the caller has given ``session_id`` to something else.
            SessionLimitReached: the caller or the process holds as many as it may.
            OpenEnvConnectionError: its server is away, or ``CapacityReached``.
        """
        asked = Opening(environment=environment, url=url, agents=frozenset(agents), seed=seed)
        if session_id is None:
            return await self._open(principal, asked, None)
        name = (principal.tenant, principal.subject, session_id)
        async with self._opening.setdefault(name, asyncio.Lock()):
            known = self._own(principal, session_id)
            if known is None:
                return await self._open(principal, asked, session_id)
            if known.asked != asked:
                raise EnvironmentSessionConflict(
                    f"the session {session_id[:80]!r} was opened with other parameters",
                    hint="close it first, or choose another session_id",
                )
            return known

    async def _open(
        self, principal: Principal, asked: Opening, chosen: str | None
    ) -> EnvironmentSession:
        served = await self.inventory.served(asked.environment, asked.url)
        client = self.inventory.client(served)
        owner = (principal.tenant, principal.subject)
        watch = self._watch(served)
        try:
            self._take(owner)
            try:
                info = await client.connect()
            except BaseException:
                self._give_back(owner)
                raise
        except (SessionLimitReached, CapacityReached):
            watch.refused()
            raise
        session = self._made(principal, asked, client, name=chosen, info=info, watch=watch.opened())
        self._sessions[session.id] = session
        self._named[(*owner, session.name)] = session
        if asked.seed is None:
            return session
        session.calls += 1
        try:
            session.first = await session.reset(asked.seed)
        except BaseException:
            # The caller may never learn the id: nobody else could close it.
            await self._end(session)
            raise
        finally:
            session.calls -= 1
        return session

    def _made(
        self,
        principal: Principal,
        asked: Opening,
        client: OpenEnvClient,
        *,
        name: str | None,
        info: EnvironmentInfo,
        watch: SessionWatch,
    ) -> EnvironmentSession:
        unique = self._ids.new()
        events = self._config.events
        return EnvironmentSession(
            id=str(unique),
            name=name or str(unique),
            asked=asked,
            tenant=principal.tenant,
            owner=principal.subject,
            client=client,
            adapter=A2AOpenEnvAdapter(client),
            info=info,
            # The random end of the id: an event's id tells nobody the session's.
            journal=Journal(
                unique.hex[-12:], most_entries=events.most_events, most_bytes=events.most_bytes
            ),
            watch=watch,
            on=self._on,
            last_used=self._clock.monotonic(),
        )

    @asynccontextmanager
    async def using(
        self, principal: Principal, session_id: str
    ) -> AsyncIterator[EnvironmentSession]:
        """The session for one call; it is not idle meanwhile."""
        session = self._find(principal, session_id)
        session.calls += 1
        try:
            yield session
        finally:
            session.calls -= 1
            session.last_used = self._clock.monotonic()

    async def close(self, principal: Principal, session_id: str) -> None:
        """End a session; only its owner may, and whoever acts in it is cut off."""
        session = self._find(principal, session_id)
        if principal.subject != session.owner:
            raise _not_found(session_id)
        await self._end(session)

    def follow(self, principal: Principal, session_id: str, after: str | None) -> Subscription:
        """The session's events behind the id ``after``: None for those to come, ``0`` for all kept.

        To watch keeps no session open.

        Raises:
            WatcherLimitReached: it has as many watchers as it may have.
        """
        session = self._find(principal, session_id)
        most = self._config.events.most_watchers
        if session.journal.readers >= most:
            raise WatcherLimitReached(
                f"the session has {most} watchers", hint="share one of them, or end one"
            )
        return session.follow(principal, after)

    def dismiss(self) -> None:
        """Send all watchers away: the service is about to stop, its sessions with it."""
        for session in self._sessions.values():
            session.journal.end()

    def view(self, principal: Principal, session_id: str) -> SessionView:
        return self._view(self._find(principal, session_id), principal)

    def page(self, principal: Principal, *, limit: int, cursor: str) -> SessionPage:
        """The caller's own sessions, the oldest first; a cursor is the ``next_cursor`` before."""
        owner = (principal.tenant, principal.subject)
        own = sorted(
            session.id
            for session in self._sessions.values()
            if (session.tenant, session.owner) == owner and session.id > cursor
        )
        shown = tuple(self._view(self._sessions[each], principal) for each in own[:limit])
        return SessionPage(sessions=shown, next_cursor=own[limit - 1] if len(own) > limit else None)

    async def reap(self) -> None:
        """Close sessions that nobody uses; runs until cancelled."""
        idle = self._config.idle_seconds
        while True:
            await self._clock.sleep(min(idle / 4, LONGEST_REAP_PAUSE))
            oldest = self._clock.monotonic() - idle
            for session in list(self._sessions.values()):
                if session.calls == 0 and session.last_used < oldest:
                    log.info("environment session idle", session=session.id)
                    await self._end(session)

    async def aclose(self) -> None:
        """Close all sessions."""
        async with asyncio.TaskGroup() as closing:
            for session in list(self._sessions.values()):
                closing.create_task(self._end(session))

    def _take(self, owner: tuple[str, str]) -> None:
        """Count the session before it is connected: those that connect at once count too."""
        each, all_ = self._config.max_sessions_per_caller, self._config.max_sessions
        if self._held[owner] >= each:
            raise SessionLimitReached(
                f"{owner[1]!r} holds {each} environment sessions", hint="close one first"
            )
        if self._held.total() >= all_:
            raise SessionLimitReached(
                f"the service holds {all_} environment sessions", hint="try again later"
            )
        self._held[owner] += 1

    def _give_back(self, owner: tuple[str, str]) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _find(self, principal: Principal, session_id: str) -> EnvironmentSession:
        session = self._own(principal, session_id) or self._sessions.get(session_id)
        if session is None or not session.admits(principal):
            raise _not_found(session_id)
        return session

    def _own(self, principal: Principal, session_id: str) -> EnvironmentSession | None:
        """A session of the caller's own, by its name or by its unique id."""
        named = self._named.get((principal.tenant, principal.subject, session_id))
        if named is not None:
            return named
        found = self._sessions.get(session_id)
        if found is None or (found.tenant, found.owner) != (principal.tenant, principal.subject):
            return None
        return found

    def _view(self, session: EnvironmentSession, principal: Principal) -> SessionView:
        idle = 0.0 if session.calls else self._clock.monotonic() - session.last_used
        return SessionView(
            session_id=session.called_by(principal),
            environment=session.asked.environment,
            agents=tuple(sorted(session.asked.agents)),
            phase=session.phase,
            episodes=session.episodes,
            steps=session.steps,
            idle_seconds=round(idle, 3),
            last_event_id=session.journal.newest,
        )

    async def _end(self, session: EnvironmentSession) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        del self._named[session.tenant, session.owner, session.name]
        self._give_back((session.tenant, session.owner))
        try:
            await session.close()
        except AgentCoreError as error:
            log.warning("environment session did not close", session=session.id, error=str(error))


def _not_found(session_id: str) -> EnvironmentSessionNotFound:
    return EnvironmentSessionNotFound(
        f"there is no environment session {session_id[:80]!r}",
        hint="it was closed, was idle for too long, belongs to somebody else, or to another "
        "replica of this service: open one",
    )
