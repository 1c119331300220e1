"""The sessions of one server: who holds them, how many there may be, and how they end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.drain import Draining
from agentcore.kit.errors import said_by
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.training.openenv.environments.base import FAULTS, AnyEnvironment
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import (
    CapacityReached,
    EnvironmentSessionNotFound,
    FactoryFailed,
    SessionInUse,
)
from agentcore.training.openenv.models import Capacity, EnvironmentServerConfig
from agentcore.training.openenv.ports import EnvironmentWatch
from agentcore.training.openenv.serving.hosting import EnvironmentHost, close_environment, nothing
from agentcore.training.openenv.serving.watching import WatchedHost
from agentcore.training.openenv.threads import EnvironmentCalls, EnvironmentThreads

T = TypeVar("T")
ACT, CONTROL = "env:act", "env:control"
SOONEST_SWEEP, LATEST_SWEEP = 0.05, 15.0

log = structlog.get_logger()


class Attachment(Protocol):
    """What is connected to a session; ``dismiss`` tells it why before it disconnects."""

    async def dismiss(self, reason: str) -> None: ...


class HostedSession:
    """One environment and the caller that it belongs to.

    ``used`` is when anything last arrived for it. ``closing`` is set where it shall end as soon as
    its socket lets go of it.
    """

    __slots__ = ("closing", "host", "owner", "session_id", "socket", "used")

    def __init__(
        self, session_id: str, host: EnvironmentHost, owner: Principal, used: float
    ) -> None:
        self.session_id = session_id
        self.host = host
        self.owner = owner
        self.used = used
        self.socket: Attachment | None = None
        self.closing = False


def _may_enter(owner: Principal, caller: Principal) -> bool:
    """Agents of the tenant may; of those who could reset it the one who made it, and `admin`."""
    if caller.tenant != owner.tenant:
        return False
    return caller.subject == owner.subject or not caller.may(CONTROL) or "admin" in caller.scopes


class Slots:
    """Makes environments, counts the sessions that hold them, and closes what nobody uses."""

    def __init__(
        self,
        name: str,
        factory: EnvironmentFactory,
        config: EnvironmentServerConfig,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.name = name
        self.config = config
        self.clock = clock
        self._factory = factory
        self._ids = ids
        self._sessions: dict[str, HostedSession] = {}
        self._opening = 0
        self._stopping = False
        self._conversations = 0
        # There when ``stop`` waits for the last one.
        self._over: asyncio.Event | None = None
        self._holding: Counter[tuple[str, str]] = Counter()
        self._threads = EnvironmentThreads()
        # Of environments without a session, which no slot counts, so many compute at once.
        self._passing = asyncio.Semaphore(config.max_sessions + 1)
        # Environments whose session has ended and that are not closed yet: a call that was cut may
        # compute on, with all that the environment holds.
        self._ending = 0
        self._cut = 0
        self.watch: EnvironmentWatch | None = None

    @property
    def capacity(self) -> Capacity:
        active = len(self._sessions) + self._opening + self._ending
        return Capacity(active=active, maximum=self.config.max_sessions)

    async def open(self, caller: Principal) -> HostedSession:
        """A session for ``caller``, who may have it; ``end`` gives its slot back.

        Raises:
            Draining: the server stops.
            Forbidden: the caller may act in sessions that others create.
            CapacityReached: every slot is taken, or all that one caller may have.
            FactoryFailed: the environment could not be made; no slot is taken.
        """
        caller.require(CONTROL)
        if self._stopping:
            raise Draining("this server is stopping", hint="another replica answers")
        holder = (caller.tenant, caller.subject)
        try:
            self._check_room(caller, self._holding[holder])
        except CapacityReached:
            if self.watch is not None:
                self.watch.refused()
            raise
        self._opening += 1
        self._holding[holder] += 1
        try:
            host = self._hosted(await self._environment())
        except BaseException:
            # Also when the caller is gone before a slow environment is made.
            self._let_go(holder)
            raise
        finally:
            self._opening -= 1
        session = HostedSession(str(self._ids.new()), host, caller, self.clock.monotonic())
        self._sessions[session.session_id] = session
        return session

    def find(self, session_id: str, caller: Principal) -> HostedSession:
        """A session that the caller may enter; any other is not there at all.

        Raises:
            EnvironmentSessionNotFound: there is none, or it has ended.
        """
        session = self._sessions.get(session_id)
        if session is None or not _may_enter(session.owner, caller):
            raise EnvironmentSessionNotFound(f"Unknown session_id: {session_id[:64]}")
        session.used = self.clock.monotonic()
        return session

    def attach(self, session: HostedSession, socket: Attachment) -> None:
        """Give the session to ``socket`` until ``detach``.

        Raises:
            SessionInUse: it has a socket, or is about to end.
            StepStillRunning: what its last socket asked for still computes.
        """
        if session.socket is not None or session.closing:
            raise SessionInUse(f"Session {session.session_id} already has an attached WebSocket")
        session.host.refuse_cut()
        session.socket = socket

    async def detach(self, session: HostedSession) -> None:
        session.socket = None
        session.used = self.clock.monotonic()
        if session.closing:
            await self.end(session)

    async def end(self, session: HostedSession) -> None:
        """Close the environment, which frees the slot; once is enough.

        Where a call that was cut still computes, the slot is free when that has ended.
        """
        if self._sessions.pop(session.session_id, None) is not None:
            self._ending += 1
            self._check_over()
            await session.host.close(partial(self._ended, session))

    def _ended(self, session: HostedSession) -> None:
        self._ending -= 1
        self._let_go((session.owner.tenant, session.owner.subject))

    async def close(self, session: HostedSession) -> bool:
        """End it now, or, false, when its socket lets go of it."""
        if session.socket is not None:
            session.closing = True
            return False
        await self.end(session)
        return True

    async def make(self) -> EnvironmentHost:
        """An environment without a session: the caller closes it."""
        async with self._passing:
            environment = await self._environment()
        calls = self._calls(environment, self._passing)
        return EnvironmentHost(
            environment, self._ids, max_episodes=self.config.max_episodes, calls=calls
        )

    def _hosted(self, environment: AnyEnvironment) -> EnvironmentHost:
        """With a session, which has one call at a time."""
        most, calls = self.config.max_episodes, self._calls(environment, asyncio.Semaphore(1))
        if self.watch is None:
            return EnvironmentHost(environment, self._ids, max_episodes=most, calls=calls)
        return WatchedHost(
            environment,
            self._ids,
            watch=self.watch.opened(),
            now=self.clock.monotonic,
            max_episodes=most,
            calls=calls,
        )

    def _calls(
        self, environment: AnyEnvironment, turns: asyncio.Semaphore
    ) -> EnvironmentCalls | None:
        if not environment.threaded:
            return None
        return EnvironmentCalls(self._threads, turns, self._left_running)

    def _left_running(self) -> Callable[[], None]:
        """A call was cut and computes on; returns what is to be called when it has ended."""
        began, self._cut = self.clock.monotonic(), self._cut + 1
        tell = nothing if self.watch is None else self.watch.left_running()
        log.warning("a call that was cut computes on", environment=self.name, running=self._cut)

        def ended() -> None:
            self._cut -= 1
            tell()
            seconds = round(self.clock.monotonic() - began, 1)
            log.info("a call that was cut has ended", environment=self.name, seconds=seconds)

        return ended

    async def _environment(self) -> AnyEnvironment:
        if not getattr(self._factory, "threaded", False):
            return self.made()
        making = self._threads.begin(self.made)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._unwanted)
            raise

    def _unwanted(self, making: asyncio.Future[AnyEnvironment]) -> None:
        if making.exception() is None:
            self._threads.begin(partial(close_environment, making.result()))

    def made(self) -> AnyEnvironment:
        try:
            environment = self._factory()
        except FAULTS as exc:
            raise FactoryFailed(f"{self.name} cannot be made: {said_by(exc)}") from exc
        environment.step_limit = self.config.max_episode_steps
        return environment

    async def ask(self, work: Callable[[AnyEnvironment], T]) -> T:
        """What a fresh environment says, in a thread where one takes long to make."""

        def answer() -> T:
            with self.lent() as environment:
                return work(environment)

        if not getattr(self._factory, "threaded", False):
            return answer()
        async with self._passing:
            return await asyncio.shield(self._threads.begin(answer))

    @contextmanager
    def lent(self) -> Iterator[AnyEnvironment]:
        """An environment to ask something, closed at the end."""
        environment = self.made()
        try:
            yield environment
        finally:
            close_environment(environment)

    async def reap(self) -> None:
        """Sweep for ever; whoever runs the server owns this task."""
        shortest = min(self.config.session_idle_seconds, self.config.socket_idle_seconds)
        pause = max(SOONEST_SWEEP, min(LATEST_SWEEP, shortest / 4))
        while True:
            await self.clock.sleep(pause)
            await self.sweep()

    async def sweep(self) -> None:
        """Close what has been idle for too long; a step that takes long is not idle."""
        now, config = self.clock.monotonic(), self.config
        for session in [*self._sessions.values()]:
            idle = now - session.used
            if session.host.running:
                continue
            if session.socket is not None:
                if idle > config.socket_idle_seconds:
                    reason = f"no frame came for {config.socket_idle_seconds:g} seconds"
                    await session.socket.dismiss(reason)
            elif idle > config.session_idle_seconds:
                log.info("idle session closed", environment=self.name, idle_seconds=round(idle))
                session.host.broken_off()
                await self.end(session)

    async def stop(self, reason: str) -> None:
        """Open no more sessions and end all; those who are connected are told why.

        A call that was cut is not waited for.
        """
        self._stopping = True
        for session in [*self._sessions.values()]:
            if session.socket is not None:
                session.closing = True
                await session.socket.dismiss(reason)
            else:
                await self.end(session)
        self._over = asyncio.Event()
        self._check_over()
        await self._over.wait()

    @contextmanager
    def conversation(self) -> Iterator[None]:
        """While a socket is served, farewell included: ``stop`` waits for it."""
        self._conversations += 1
        try:
            yield
        finally:
            self._conversations -= 1
            self._check_over()

    def _check_over(self) -> None:
        if self._over is not None and not self._sessions and not self._conversations:
            self._over.set()

    def _check_room(self, caller: Principal, held: int) -> None:
        capacity, most = self.capacity, self.config.max_sessions_per_caller
        active = capacity.active
        if active >= capacity.maximum:
            detail = f"{self.name} serves {active} of {capacity.maximum} sessions"
            raise CapacityReached(detail, active, capacity.maximum)
        if held >= most and not (caller.may("admin") or caller.is_service):
            detail = f"{caller.subject} holds {held} of {most} sessions of {self.name}"
            raise CapacityReached(detail, held, most)

    def _let_go(self, holder: tuple[str, str]) -> None:
        self._holding[holder] -= 1
        if not self._holding[holder]:
            del self._holding[holder]
