"""Where rates are counted: in Redis for all replicas; while it is away, in this process alone.

Requests are sliding windows of the library ``limits``. Tokens are buckets of our own: what a call
did not use is given back, which no library does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock

if TYPE_CHECKING:
    from limits.aio.strategies import SlidingWindowCounterRateLimiter

MINUTE = 60.0
# Full buckets are forgotten when there are so many.
MOST_BUCKETS = 10_000
# KEYS: the bucket. ARGV: tokens a minute, tokens to take (fewer than none: to give back), whether
# they are taken in any case. The time is Redis' own: replicas' clocks differ.
BUCKET = """
local size, amount = tonumber(ARGV[1]), tonumber(ARGV[2])
local rate = size / 60
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = tonumber(kept[1]) or size
level = math.min(size, level + math.max(0, now - (tonumber(kept[2]) or now)) * rate)
local taken = 0
if ARGV[3] == '1' or level >= amount then
  level, taken = math.min(size, level - amount), 1
end
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((size - level) / rate * 1000) + 1000)
return {taken, tostring(level)}
"""


class Standing(NamedTuple):
    """What asking came to: whether it was granted, what is left, when all is there again (s)."""

    granted: bool
    remaining: float
    reset: float
    retry_after: float = 0.0


class Source(Protocol):
    """``name`` is whose limit it is; different limits of one name are different."""

    async def take(self, name: str, per_minute: int, amount: int) -> Standing: ...

    async def give(self, name: str, per_minute: int, amount: int) -> None:
        """Give back what was not needed, or owe what was used beyond: ``amount`` below 0."""
        ...


class LocalTokens:
    """Buckets of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, int], tuple[float, float]] = {}

    async def take(self, name: str, per_minute: int, amount: int) -> Standing:
        level = self._level(name, per_minute)
        granted = level >= amount
        if granted:
            level -= amount
        self._keep(name, per_minute, level)
        return bucket_standing(per_minute, amount, level, granted=granted)

    async def give(self, name: str, per_minute: int, amount: int) -> None:
        self._keep(name, per_minute, self._level(name, per_minute) + amount)

    def _level(self, name: str, per_minute: int) -> float:
        level, at = self._buckets.get((name, per_minute), (per_minute, 0.0))
        return min(per_minute, level + (self._clock.monotonic() - at) * per_minute / MINUTE)

    def _keep(self, name: str, per_minute: int, level: float) -> None:
        if len(self._buckets) >= MOST_BUCKETS:
            kept = self._buckets.items()
            self._buckets = {key: each for key, each in kept if self._level(*key) < key[1]}
        self._buckets[name, per_minute] = (min(per_minute, level), self._clock.monotonic())


class LocalRequests:
    """Windows of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limiter: SlidingWindowCounterRateLimiter | None = None

    async def take(self, name: str, per_minute: int, amount: int) -> Standing:
        if self._limiter is None:
            from limits.aio.storage import MemoryStorage  # noqa: PLC0415 - loaded for who has limits
            from limits.aio.strategies import (  # noqa: PLC0415 - loaded for who has limits
                SlidingWindowCounterRateLimiter,
            )

            self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        return await window_standing(self._limiter, self._clock, name, per_minute, amount)

    async def give(self, name: str, per_minute: int, amount: int) -> None:
        """A request that was asked for was asked for."""


class SharedTokens:
    """Buckets in Redis, and in this process while that is away."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._local = LocalTokens(clock)

    async def take(self, name: str, per_minute: int, amount: int) -> Standing:
        answer = await self._ask(name, per_minute, amount, forced=False)
        if answer is None:
            return await self._local.take(name, per_minute, amount)
        granted, level = answer
        return bucket_standing(per_minute, amount, level, granted=granted)

    async def give(self, name: str, per_minute: int, amount: int) -> None:
        if await self._ask(name, per_minute, -amount, forced=True) is None:
            await self._local.give(name, per_minute, amount)

    async def _ask(
        self, name: str, per_minute: int, amount: int, *, forced: bool
    ) -> tuple[bool, float] | None:
        key = self._cache.name(f"tokens:{per_minute}:{name}")
        told = [per_minute, amount, int(forced)]
        done, answer = await self._cache.ask(
            lambda redis: redis.register_script(BUCKET)([key], told)
        )
        return (bool(answer[0]), float(answer[1])) if done and answer else None


class SharedRequests:
    """Windows in Redis, and in this process while that is away."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._local = LocalRequests(clock)
        self._limiter: SlidingWindowCounterRateLimiter | None = None

    async def take(self, name: str, per_minute: int, amount: int) -> Standing:
        done, standing = await self._cache.ask(
            lambda redis: window_standing(
                self._limiter or self._connect(redis.connection_pool),
                self._clock,
                name,
                per_minute,
                amount,
            )
        )
        if not done or standing is None:
            return await self._local.take(name, per_minute, amount)
        return standing

    async def give(self, name: str, per_minute: int, amount: int) -> None:
        """A request that was asked for was asked for."""

    def _connect(self, pool: object) -> SlidingWindowCounterRateLimiter:
        from limits.aio.storage import RedisStorage  # noqa: PLC0415 - loaded for who has limits
        from limits.aio.strategies import (  # noqa: PLC0415 - loaded for who has limits
            SlidingWindowCounterRateLimiter,
        )

        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=self._cache.name("requests"),
            connection_pool=pool,  # type: ignore[arg-type]  # it is documented
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        return self._limiter


def bucket_standing(per_minute: int, amount: int, level: float, *, granted: bool) -> Standing:
    rate = per_minute / MINUTE
    missing = 0.0 if granted else (amount - level) / rate
    return Standing(granted, level, (per_minute - level) / rate, missing)


async def window_standing(
    limiter: SlidingWindowCounterRateLimiter,
    clock: Clock,
    name: str,
    per_minute: int,
    amount: int,
) -> Standing:
    from limits import RateLimitItemPerMinute  # noqa: PLC0415 - loaded for who has limits

    item = RateLimitItemPerMinute(per_minute)
    granted = await limiter.hit(item, name, cost=amount)
    told = await limiter.get_window_stats(item, name)
    reset = max(0.0, told.reset_time - clock.now().timestamp())
    return Standing(granted, told.remaining, reset, 0.0 if granted else reset)
