"""The embedded servers as their clients see them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from agentcore.kit.errors import StartupError

if sys.platform != "win32":
    from agentcore.kit.embedded.layout import Home, open_home, startup_errors
    from agentcore.kit.embedded.locks import Patience, try_lock
    from agentcore.kit.embedded.postgres import Postgres
    from agentcore.kit.embedded.unit import Unit
    from agentcore.kit.embedded.valkey import Valkey

CHECK_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_ELSEWHERE = "embedded servers need Linux or macOS"

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServers:
    """Valid inside ``open_embedded`` only. ``database_url`` is empty when none was asked for."""

    database_url: str = ""
    redis_url: str | None = None
    degraded: str = ""
    """Why ``redis_url`` is None although it was asked for."""
    _postgres: Unit | None = field(default=None, repr=False, compare=False)
    _valkey: Unit | None = field(default=None, repr=False, compare=False)
    _start_seconds: float = field(default=300.0, repr=False, compare=False)
    _cache_seconds: float = field(default=10.0, repr=False, compare=False)

    async def keep_alive(self) -> None:
        """Restart what dies and watch again what lost its watchdog, for ever. To be supervised.

        A server that cannot be restarted is tried again, less and less often.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(_keep(self._postgres, self._start_seconds))
            group.create_task(_keep(self._valkey, self._cache_seconds))

    async def revive(self) -> None:
        """Return when every server answers again. StartupError for PostgreSQL only."""
        if self._postgres is not None:
            await _blocking(self._postgres.ensure, self._start_seconds)
        await _start(self._valkey, self._cache_seconds)


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
    if sys.platform == "win32":
        if database:
            raise StartupError(_ELSEWHERE, hint="set AGENTCORE_DATABASE_URL")
        yield EmbeddedServers(degraded=_ELSEWHERE if redis else "")
        return
    place = await asyncio.to_thread(open_home, home)
    postgres, valkey = Postgres(place), Valkey(place, cache_memory_mb)
    client = await _join(place, start_seconds)
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


async def _join(home: Home, seconds: float) -> int:
    """The descriptor that makes this process a client until it is closed.

    A watchdog that is stopping its server holds the file alone: wait until it is done.
    """
    patience = Patience(seconds)
    with startup_errors(f"cannot use {home.path} as home"):
        while (client := try_lock(home.clients, "shared")) is None:
            await asyncio.sleep(patience.step())
            if patience.is_over():
                raise StartupError(f"the servers of {home.path} are still stopping")
    return client


async def _keep(unit: Unit | None, seconds: float) -> None:
    if unit is None:
        return
    pause = CHECK_SECONDS
    while True:
        await asyncio.sleep(pause)
        if not await asyncio.to_thread(unit.watched):
            failure = await _start(unit, seconds)
            if failure is not None:
                log.error("embedded server is down", server=unit.name, reason=failure.detail)
            if not await asyncio.to_thread(unit.watched):
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
                continue
        pause = CHECK_SECONDS


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
