"""Environment sessions of callers: opened by name, owned, bounded, closed when forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, StartupError
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.training.openenv.adapters import A2AOpenEnvAdapter
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import (
    EnvironmentNotFoundError,
    EnvironmentSessionNotFound,
    SessionLimitReached,
)
from agentcore.training.openenv.models import (
    EnvironmentEntry,
    EnvironmentInfo,
    RemoteEnvironment,
    TrainingConfig,
)

# The client, with its HTTP and WebSocket libraries, is loaded when the first session opens.
if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

LONGEST_REAP_PAUSE = 30.0

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class EnvironmentSession:
    """One caller's session; ``agents`` are further subjects of its tenant that may act in it."""

    id: str
    environment: str
    tenant: str
    owner: str
    agents: frozenset[str]
    client: OpenEnvClient
    adapter: A2AOpenEnvAdapter
    info: EnvironmentInfo
    last_used: float
    calls: int = 0

    def admits(self, principal: Principal) -> bool:
        allowed = principal.subject == self.owner or principal.subject in self.agents
        return principal.tenant == self.tenant and allowed


class EnvironmentSessions:
    """All sessions of this process.

    Bundled environments are reached as every other: over the WebSocket of the server mounted at
    ``base_url()/{name}``, with ``token()`` as credential.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        bundled: Mapping[str, EnvironmentFactory],
        base_url: Callable[[], str],
        token: Callable[[], str],
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._config = config
        self._bundled = bundled
        self._remote = {remote.name: remote for remote in config.environments}
        names = [*bundled, *(remote.name for remote in config.environments)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise StartupError(
                f"the environment name {twice[0]!r} is given twice",
                hint="rename the entry of training.environments",
            )
        self._base_url = base_url
        self._token = token
        self._clock = clock
        self._ids = ids
        self._sessions: dict[str, EnvironmentSession] = {}
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
    ) -> EnvironmentSession:
        """Open a session of the environment named ``environment``; ``url`` may repeat a remote's.

        Raises:
            EnvironmentNotFoundError: neither bundled nor configured.
            SessionLimitReached: the caller or the process holds as many as it may.
            OpenEnvConnectionError: its server is away, or ``CapacityReached``.
        """
        client = self._client(environment, url)
        owner = (principal.tenant, principal.subject)
        self._take(owner)
        try:
            info = await client.connect()
        except BaseException:
            self._give_back(owner)
            raise
        session = EnvironmentSession(
            id=str(self._ids.new()),
            environment=environment,
            tenant=principal.tenant,
            owner=principal.subject,
            agents=frozenset(agents),
            client=client,
            adapter=A2AOpenEnvAdapter(client),
            info=info,
            last_used=self._clock.monotonic(),
        )
        self._sessions[session.id] = session
        return session

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

    def environments(self) -> list[EnvironmentEntry]:
        """What can be opened, by name; servers of others are not asked."""
        bundled = [
            EnvironmentEntry(name=name, source="bundled", info=factory().info())
            for name, factory in self._bundled.items()
        ]
        remote = [
            EnvironmentEntry(name=remote.name, source="remote", url=str(remote.url))
            for remote in self._remote.values()
        ]
        return sorted([*bundled, *remote], key=lambda entry: entry.name)

    async def environment(self, name: str) -> EnvironmentEntry:
        """One environment; the server of a remote one is asked what it is."""
        remote = self._remote.get(name)
        if remote is not None:
            from agentcore.training.openenv.describing import describe

            info = await describe(
                str(remote.url).rstrip("/"),
                headers=_bearer(remote.token.get_secret_value()),
                seconds=self._config.connect_seconds,
            )
            return EnvironmentEntry(name=name, source="remote", url=str(remote.url), info=info)
        if name not in self._bundled:
            raise self._unknown(name)
        return EnvironmentEntry(name=name, source="bundled", info=self._bundled[name]().info())

    def _client(self, environment: str, url: str | None) -> OpenEnvClient:
        remote = self._remote.get(environment)
        if url is not None and not _names(remote, url):
            raise EnvironmentNotFoundError(
                f"no environment {environment!r} is configured at this url",
                hint="the operator lists remote environments in training.environments",
            )
        if remote is not None:
            target, token = str(remote.url), remote.token.get_secret_value()
        elif environment in self._bundled:
            target, token = f"{self._base_url().rstrip('/')}/{environment}", self._token()
        else:
            raise self._unknown(environment)
        from agentcore.training.openenv.client import OpenEnvClient

        return OpenEnvClient(
            target,
            timeout=self._config.step_seconds,
            max_retries=self._config.connect_attempts,
            token=token,
            connect_timeout=self._config.connect_seconds,
            clock=self._clock,
        )

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
        session = self._sessions.get(session_id)
        if session is None or not session.admits(principal):
            raise _not_found(session_id)
        return session

    async def _end(self, session: EnvironmentSession) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        self._give_back((session.tenant, session.owner))
        try:
            await session.client.close()
        except AgentCoreError as error:
            log.warning("environment session did not close", session=session.id, error=str(error))

    def _unknown(self, name: str) -> EnvironmentNotFoundError:
        known = ", ".join(sorted({*self._bundled, *self._remote}))
        return EnvironmentNotFoundError(
            f"there is no environment {name!r}", hint=f"one of: {known}"
        )


def _names(remote: RemoteEnvironment | None, url: str) -> bool:
    return remote is not None and str(remote.url).rstrip("/") == url.rstrip("/")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _not_found(session_id: str) -> EnvironmentSessionNotFound:
    return EnvironmentSessionNotFound(
        f"there is no environment session {session_id[:80]!r}",
        hint="it was closed, was idle for too long, or belongs to somebody else: open one",
    )
