"""The embedded servers as their clients see them: open, keep alive, look, stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from agentcore.kit.embedded.layout import Home, open_home, startup_errors
from agentcore.kit.embedded.locks import Patience, raise_lock, try_lock
from agentcore.kit.embedded.postgres import Postgres
from agentcore.kit.embedded.unit import State, Unit
from agentcore.kit.embedded.valkey import Valkey
from agentcore.kit.errors import Conflict, StartupError

CHECK_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServers:
    """Valid inside ``open_embedded`` only. ``database_url`` is empty when none was asked for."""

    database_url: str = ""
    redis_url: str | None = None
    degraded: str = ""
    """Why ``redis_url`` is None although it was asked for."""
    _postgres: Unit | None = field(default=None, repr=False)
    _valkey: Unit | None = field(default=None, repr=False)
    _start_seconds: float = field(default=300.0, repr=False)
    _cache_seconds: float = field(default=10.0, repr=False)

    async def keep_alive(self) -> None:
        """Restart what dies and watch what lost its watchdog, for ever. To be supervised.

        StartupError when PostgreSQL cannot be restarted; a cache that cannot is only logged.
        """
        cache_after = CHECK_SECONDS
        due = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._postgres is not None and not await asyncio.to_thread(self._postgres.watched):
                log.warning("embedded server is gone", server="postgres")
                await _blocking(self._postgres.ensure, self._start_seconds)
            now = asyncio.get_running_loop().time()
            if self._valkey is None or now < due or await asyncio.to_thread(self._valkey.watched):
                continue
            failure = await _start(self._valkey, self._cache_seconds)
            cache_after = min(cache_after * 2, _LONGEST_RETRY_SECONDS) if failure else CHECK_SECONDS
            due = now + cache_after

    async def revive(self) -> None:
        """Return when every server answers again. StartupError for PostgreSQL only."""
        if self._postgres is not None:
            await _blocking(self._postgres.ensure, self._start_seconds)
        await _start(self._valkey, self._cache_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    name: str
    state: State
    pid: int | None
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStatus:
    home: Path
    in_use: bool
    servers: tuple[ServerStatus, ...] = ()


@asynccontextmanager
async def open_embedded(
    home: Path,
    *,
    database: bool = True,
    redis: bool = True,
    start_seconds: float = 300.0,
    cache_seconds: float = 10.0,
    cache_memory_mb: int = 64,
) -> AsyncIterator[EmbeddedServers]:
    """Start or join the servers of ``home``; they stop soon after their last client is gone.

    ``start_seconds`` bounds the wait for PostgreSQL, which may have a long log to recover from.
    """
    place = await asyncio.to_thread(open_home, home)
    postgres, valkey = Postgres(place), Valkey(place, cache_memory_mb)
    # A watchdog that is stopping its server holds the file exclusively: wait until it is done.
    client = await _blocking(lambda patience: _join(place, patience), start_seconds)
    try:
        database_unit = Unit(place, postgres) if database else None
        cache_unit = Unit(place, valkey) if redis else None
        async with asyncio.TaskGroup() as group:
            database_start = group.create_task(_start(database_unit, start_seconds))
            cache_start = group.create_task(_start(cache_unit, cache_seconds))
        if (failure := database_start.result()) is not None:
            raise failure
        no_cache = cache_start.result()
        if no_cache is not None:
            log.warning("embedded cache did not start", reason=no_cache.detail)
            cache_unit = None
        yield EmbeddedServers(
            database_url=postgres.url if database_unit else "",
            redis_url=valkey.url if cache_unit else None,
            degraded=no_cache.detail if no_cache else "",
            _postgres=database_unit,
            _valkey=cache_unit,
            _start_seconds=start_seconds,
            _cache_seconds=cache_seconds,
        )
    finally:
        os.close(client)


async def status(home: Path) -> EmbeddedStatus:
    """Look without starting, creating or waiting for anything."""
    return await asyncio.to_thread(_status, Home(Path(os.path.realpath(home))))


async def stop(home: Path, *, seconds: float = 90.0) -> None:
    """Stop servers that nobody uses, as after a killed watchdog. Conflict while one has clients."""
    await _blocking(lambda patience: _stop(Home(Path(os.path.realpath(home))), patience), seconds)


def _servers(home: Home) -> tuple[Postgres, Valkey]:
    return Postgres(home), Valkey(home)


def _status(home: Home) -> EmbeddedStatus:
    if not home.clients.exists():
        return EmbeddedStatus(home=home.path, in_use=False)
    with startup_errors(f"cannot look into {home.path}"):
        found = tuple(
            ServerStatus(name=server.name, state=unit.state(), pid=unit.pid(), url=server.url)
            for server in _servers(home)
            for unit in (Unit(home, server),)
        )
    return EmbeddedStatus(home=home.path, in_use=_in_use(home), servers=found)


def _stop(home: Home, patience: Patience) -> None:
    if not home.clients.exists():
        return
    units = [Unit(home, server) for server in _servers(home)]
    with startup_errors(f"cannot stop the servers of {home.path}"):
        for unit in units:
            unit.watch_orphan(patience)
        while any(unit.watched() for unit in units):
            if _in_use(home):
                raise Conflict(
                    f"the servers of {home.path} are in use",
                    hint="end the processes that use this home; its servers follow by themselves",
                )
            if not patience.pause():
                raise StartupError(f"the servers of {home.path} did not stop")


def _in_use(home: Home) -> bool:
    """Clients share the file; a watchdog that is stopping its server holds it alone."""
    if (client := try_lock(home.clients, "shared")) is None:
        return False
    try:
        return not raise_lock(client)
    finally:
        os.close(client)


def _join(home: Home, patience: Patience) -> int:
    """The descriptor that makes this process a client until it is closed."""
    with startup_errors(f"cannot use {home.path} as home"):
        while (client := try_lock(home.clients, "shared")) is None:
            if not patience.pause():
                raise StartupError(f"the servers of {home.path} are still stopping")
    return client


async def _start(unit: Unit | None, seconds: float) -> StartupError | None:
    """A server that cannot start is a result, so that the other one's start is not cut short."""
    if unit is None:
        return None
    try:
        await _blocking(unit.ensure, seconds)
    except StartupError as error:
        return error
    return None


async def _blocking(work: Callable[[Patience], T], seconds: float) -> T:
    """Run ``work`` in a thread that stops waiting when this task is cancelled."""
    patience = Patience(seconds)
    try:
        return await asyncio.to_thread(work, patience)
    finally:
        patience.give_up()
