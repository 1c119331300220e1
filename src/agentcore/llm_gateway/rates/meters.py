"""Rates as one process counts them.

A busy caller's process takes somewhat more than it needs from where rates are counted, at most a
sixtieth of the limit, so most calls ask nobody. What is taken counts at once: over all processes
nobody gets more than the limit, and who stops asking leaves a second's part of it unused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from agentcore.kit.errors import RequestTooLarge
from agentcore.llm_gateway.errors import RateLimitExceeded
from agentcore.llm_gateway.rates.sources import Source, Standing

Unit = Literal["requests", "tokens"]
# The part of a limit that a process takes ahead, and of what it has needed in a second.
AHEAD_OF_LIMIT = 60
AHEAD_OF_NEED = 4
FORGET_TICKS = 120
MOST_GROUPS = 10_000


class Limit(NamedTuple):
    """``whose`` is told to the caller; ``name`` is unique to the one it belongs to."""

    name: str
    whose: str
    unit: Unit
    per_minute: int


class Meter:
    """One limit, as this process uses it."""

    __slots__ = ("_asking", "_before", "_needed", "_source", "free", "limit", "quiet", "standing")

    def __init__(self, limit: Limit, source: Source) -> None:
        self.limit = limit
        self.free = 0
        self.quiet = 0
        self.standing = Standing(granted=True, remaining=limit.per_minute, reset=0.0)
        self._source = source
        self._needed = self._before = 0
        self._asking = asyncio.Lock()

    @property
    def remaining(self) -> int:
        return max(0, int(self.standing.remaining) + self.free)

    async def take(self, amount: int) -> None:
        """Use so much of the limit.

        Raises:
            RateLimitExceeded: so much is not left now.
            RequestTooLarge: so much will never be left.
        """
        limit = self.limit
        if amount > limit.per_minute:
            raise RequestTooLarge(
                f"the call may use {amount} tokens, and {limit.whose} may use {limit.per_minute} "
                "a minute",
                hint="send less, or ask for fewer with max_tokens",
            )
        self.quiet = 0
        if self.free < amount:
            async with self._asking:
                if self.free < amount:
                    await self._more(amount)
        self.free -= amount
        self._needed += amount

    def give(self, amount: int) -> None:
        """Use so much less, or more where it is below 0, than was taken."""
        self.free += amount

    async def tick(self) -> None:
        """A second has passed: hand back what is not needed."""
        self._before, self._needed = self._needed, 0
        self.quiet += 1
        keep = min(self._before // AHEAD_OF_NEED, self.limit.per_minute // AHEAD_OF_LIMIT)
        # What is owed is told in any case.
        spare = self.free if self.free < 0 else max(0, self.free - keep)
        if spare and not self._asking.locked():
            self.free -= spare
            await self._source.give(self.limit.name, self.limit.per_minute, spare)

    async def _more(self, wanted: int) -> None:
        """Have ``wanted`` in hand, and some more for the next calls if there is enough."""
        per_minute = self.limit.per_minute
        # Where something is owed it may be more than there ever is at once.
        need = min(wanted - self.free, per_minute)
        busy = max(self._before, self._needed)
        ahead = min(per_minute // AHEAD_OF_LIMIT, busy // AHEAD_OF_NEED, per_minute - need)
        for amount in (need + ahead, need) if ahead else (need,):
            self.standing = await self._source.take(self.limit.name, per_minute, amount)
            if self.standing.granted:
                self.free += amount
                break
        if self.free < wanted:
            raise self._refusal()

    def _refusal(self) -> RateLimitExceeded:
        limit, wait = self.limit, max(self.standing.retry_after, 0.001)
        return RateLimitExceeded(
            f"{limit.whose} may use {limit.per_minute} {limit.unit} a minute, and they are used up",
            hint=f"try again in {duration(wait)}",
            retry_after=wait,
            limit=limit.unit,
            ratelimit=dict(rate_headers([self])),
        )


class Meters:
    """The limits in use, each with its meter."""

    def __init__(self, sources: Mapping[Unit, Source]) -> None:
        self._sources = sources
        self._meters: dict[Limit, Meter] = {}
        self._groups: dict[Hashable, tuple[Meter, ...]] = {}

    def of(self, limit: Limit) -> Meter:
        meter = self._meters.get(limit)
        if meter is None:
            meter = self._meters[limit] = Meter(limit, self._sources[limit.unit])
        return meter

    def group(self, caller: Hashable, limits: Callable[[], Iterable[Limit]]) -> tuple[Meter, ...]:
        """The meters of a caller, whose limits are asked for once in a while."""
        group = self._groups.get(caller)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                self._groups.clear()
            group = self._groups[caller] = tuple(self.of(limit) for limit in limits())
        return group

    async def tick(self) -> None:
        """To be called every second."""
        for limit, meter in list(self._meters.items()):
            await meter.tick()
            if meter.quiet > FORGET_TICKS:
                del self._meters[limit]
                self._groups.clear()


def rate_headers(meters: Sequence[Meter]) -> list[tuple[str, str]]:
    """As OpenAI tells them; of several limits of a kind, the one of which least is left."""
    headers: list[tuple[str, str]] = []
    units: tuple[Unit, ...] = ("requests", "tokens")
    for unit in units:
        mine = [meter for meter in meters if meter.limit.unit == unit]
        if mine:
            least = min(mine, key=lambda meter: meter.remaining)
            headers += [
                (f"x-ratelimit-limit-{unit}", str(least.limit.per_minute)),
                (f"x-ratelimit-remaining-{unit}", str(least.remaining)),
                (f"x-ratelimit-reset-{unit}", duration(least.standing.reset)),
            ]
    return headers


def duration(seconds: float) -> str:
    """As OpenAI writes it: ``120ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
