"""The cache and its pub/sub: Redis, or, when Redis is away, a bounded map in this process.

Losing Redis never loses correctness. A key that was written or deleted while Redis was away is
deleted there before Redis is read again, so that it cannot come back older than it was.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import StartupError, first_line
from agentcore.kit.models import CacheConfig
from agentcore.kit.supervisor import Supervisor

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

T = TypeVar("T")
Handler = Callable[[bytes], None]

LOCAL_ENTRIES = 4096
PROBE_SECONDS = 0.5
# Long enough for readiness to be told first.
QUIET_SECONDS = 0.3
MOST_DIRTY = 10_000
# The channel on which a process says that it has taken back what it could not while away.
CAUGHT_UP = "kit:caught-up"

log = structlog.get_logger()


class LocalCache:
    """A bounded least-recently-used map whose entries expire."""

    def __init__(self, clock: Clock, entries: int = LOCAL_ENTRIES) -> None:
        self._clock = clock
        self._entries = entries
        self._map: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        found = self._map.get(key)
        if found is None:
            return None
        expires, value = found
        if expires <= self._clock.monotonic():
            del self._map[key]
            return None
        self._map.move_to_end(key)
        return value

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self._map[key] = (self._clock.monotonic() + ttl, value)
        self._map.move_to_end(key)
        while len(self._map) > self._entries:
            self._map.popitem(last=False)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._map.pop(key, None)

    def clear(self) -> None:
        self._map.clear()


class Cache:
    """Bytes by key with a time to live, and messages to every process of the installation."""

    def __init__(
        self,
        redis: Redis | None,
        *,
        namespace: str,
        timeout: float,
        clock: Clock,
        late: Callable[[], Redis] | None = None,
    ) -> None:
        """``late`` makes the client behind the start, when :meth:`watch` runs."""
        self._redis = redis
        self._late = late
        self._namespace = namespace
        self._timeout = timeout
        self._clock = clock
        self._local = LocalCache(clock)
        self._handlers: dict[str, list[Handler]] = {}
        self._dirty: set[str] = set()
        self._reachable = redis is not None
        self._era = 0

    @property
    def era(self) -> int:
        """Changes when messages may have been missed: whoever relies on them starts anew then."""
        return self._era

    @property
    def degraded(self) -> bool:
        """True while this process works from its own memory only."""
        return not self._reachable

    async def get(self, key: str) -> bytes | None:
        if self._reachable:
            found, value = await self._ask(lambda redis: redis.get(self._name(key)))
            if found:
                return value.encode() if isinstance(value, str) else value
        return self._local.get(key)

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep ``value`` for ``ttl`` seconds."""
        if self._reachable:
            milliseconds = max(1, int(ttl * 1000))
            done, _ = await self._ask(
                lambda redis: redis.set(self._name(key), value, px=milliseconds)
            )
            if done:
                return
        self._mark(key)
        self._local.set(key, value, ttl)

    async def delete(self, *keys: str) -> None:
        if not keys:
            return
        if self._reachable:
            done, _ = await self._ask(
                lambda redis: redis.delete(*(self._name(key) for key in keys))
            )
            if done:
                return
        self._mark(*keys)
        self._local.delete(*keys)

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand ``message`` to the channel's subscribers in all processes; best effort."""
        if self._reachable:
            sent, _ = await self._ask(lambda redis: redis.publish(self._name(channel), message))
            if sent:
                return
        self._deliver(channel, message)

    def subscribe(self, channel: str, handler: Handler) -> None:
        """Call ``handler`` with each message, once :meth:`watch` has noticed."""
        self._handlers.setdefault(CAUGHT_UP, [self._start_anew])
        self._handlers.setdefault(channel, []).append(handler)

    async def watch(self) -> None:
        """Receive messages and notice Redis going and coming back; runs until cancelled."""
        if self._redis is None and self._late is not None:
            await self._clock.sleep(QUIET_SECONDS)
            self._redis = await asyncio.to_thread(self._late)
        if self._redis is None:
            return
        while True:
            try:
                await self._recover(self._redis)
                await self._receive(self._redis)
            except _faults() as error:
                self.lose(error)
            await self._clock.sleep(PROBE_SECONDS)

    async def aclose(self) -> None:
        if self._redis is not None:
            with suppress(*_faults()):
                await self._redis.aclose()

    async def ask(self, command: Callable[[Redis], Awaitable[T]]) -> tuple[bool, T | None]:
        """What Redis itself answers to ``command``; False while it is away, or when it leaves.

        Names in it are the caller's own: :meth:`name` keeps installations apart.
        """
        return await self._ask(command) if self._reachable else (False, None)

    def name(self, key: str) -> str:
        return self._name(key)

    async def _ask(self, command: Callable[[Redis], Awaitable[T]]) -> tuple[bool, T | None]:
        if self._redis is None:
            return False, None
        try:
            async with asyncio.timeout(self._timeout):
                return True, await command(self._redis)
        except _faults() as error:
            self.lose(error)
            return False, None

    def lose(self, error: Exception) -> None:
        """Work from memory until :meth:`watch` finds Redis again."""
        if self._reachable:
            log.warning("cache lost, working from memory", reason=first_line(error))
            self._reachable = False
            self._era += 1
            self._local.clear()

    async def _recover(self, redis: Redis) -> None:
        async with asyncio.timeout(self._timeout):
            await redis.ping()
        if self._reachable:
            return
        if self._dirty:
            while self._dirty:
                batch = list(self._dirty)[:500]
                await redis.delete(*(self._name(key) for key in batch))
                self._dirty.difference_update(batch)
            # Who was back before us has perhaps read what is deleted only now, and keeps it.
            await redis.publish(self._name(CAUGHT_UP), b"")
        self._local.clear()
        self._reachable = True
        log.info("cache is back")

    async def _receive(self, redis: Redis) -> None:
        async with redis.pubsub() as pubsub:
            await self._pump(redis, pubsub)

    async def _pump(self, redis: Redis, pubsub: PubSub) -> None:
        names: dict[bytes, str] = {}
        while self._reachable:
            if len(names) < len(self._handlers):
                names = {self._name(channel).encode(): channel for channel in self._handlers}
                await pubsub.subscribe(*(name.decode() for name in names))
            if not names:
                await self._clock.sleep(PROBE_SECONDS)
                await redis.ping()
                continue
            message = await pubsub.get_message(timeout=PROBE_SECONDS)
            if message is None:
                # Nothing came: is nobody there to send it?
                await redis.ping()
                continue
            if message["type"] == "message":
                self._deliver(names[message["channel"]], bytes(message["data"]))
            else:
                # Subscribed: what was published before this moment has not been heard.
                self._era += 1

    def _start_anew(self, _: bytes) -> None:
        self._era += 1

    def _deliver(self, channel: str, message: bytes) -> None:
        for handler in self._handlers.get(channel, []):
            handler(message)

    def _mark(self, *keys: str) -> None:
        if self._redis is None and self._late is None:
            return
        self._dirty.update(keys)
        while len(self._dirty) > MOST_DIRTY:
            # Beyond the bound the key's own time to live is what limits its age.
            self._dirty.pop()

    def _name(self, key: str) -> str:
        return f"{self._namespace}:{key}"


@asynccontextmanager
async def open_cache(
    config: CacheConfig,
    url: str | None,
    supervisor: Supervisor,
    clock: Clock = SYSTEM_CLOCK,
    *,
    late: bool = False,
) -> AsyncIterator[Cache]:
    """A cache at ``url``; None gives the degraded one for good.

    ``late`` connects behind the start, for a server that is known to run: loading the client
    takes a good part of it.
    """
    wanted = None if url is None else partial(_connect, url, config)
    redis = wanted() if wanted is not None and not late else None
    cache = Cache(
        redis,
        namespace=config.namespace,
        timeout=config.timeout,
        clock=clock,
        late=wanted if late else None,
    )
    try:
        if redis is not None:
            await _first_contact(redis, cache, config)
        watching = supervisor.start("cache", cache.watch)
        try:
            yield cache
        finally:
            # It would connect again behind the closing.
            await supervisor.cancel(watching)
    finally:
        await cache.aclose()


def _connect(url: str, config: CacheConfig) -> Redis:
    from redis.asyncio import Redis

    try:
        return Redis.from_url(
            url,
            socket_timeout=config.timeout * 2,
            socket_connect_timeout=config.timeout,
        )
    except ValueError as exc:
        raise StartupError(
            f"the Redis URL cannot be used: {first_line(exc)}",
            hint="AGENTCORE_REDIS_URL=redis://:password@host:6379/0",
        ) from exc


async def _first_contact(redis: Redis, cache: Cache, config: CacheConfig) -> None:
    try:
        async with asyncio.timeout(config.timeout * 2):
            await redis.ping()
    except _faults() as exc:
        if _is_refusal(exc) or _is_refusal(exc.__cause__):
            raise StartupError(
                f"Redis refuses the credentials: {first_line(exc)}",
                hint="check user and password in AGENTCORE_REDIS_URL",
            ) from exc
        if config.required:
            raise StartupError(
                f"Redis cannot be reached: {first_line(exc)}",
                hint="is it running, and is AGENTCORE_REDIS_URL right? "
                "AGENTCORE_CACHE__REQUIRED=false starts without it",
            ) from exc
        cache.lose(exc)


def _faults() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return RedisError, OSError, TimeoutError


def _is_refusal(error: BaseException | None) -> bool:
    from redis.exceptions import AuthenticationError

    return isinstance(error, AuthenticationError)
