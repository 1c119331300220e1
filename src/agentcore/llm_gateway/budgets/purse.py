"""Budgets as one process spends them.

A call that counts against a hard budget reserves the most it can cost before it is sent, and gives
back what it did not need. The process holds a part of each budget it spends from, granted by the
database in chunks, so most calls ask nobody. What holds whatever happens to processes:

- Over all processes, what is granted never exceeds the limit; so neither does what is spent, as
  long as no call costs more than was reserved for it. What one costs beyond that is entered, too.
- A process that dies leaves at most what it held: that much counts as spent until the period ends.
- While the database is away a process spends what it holds and ``outage_share`` of the limit more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.directory import Directory, ReadChanges
from agentcore.llm_gateway.budgets.errors import BudgetExceeded, BudgetHeld, BudgetUnavailable
from agentcore.llm_gateway.budgets.leases import Lease
from agentcore.llm_gateway.budgets.models import ZERO, Budget, Drawn, Holding, period_end

# What a process takes beyond its need, at most: so a death costs a budget a fiftieth.
CHUNK_SHARE = Decimal("0.02")
TELL_SECONDS = 1.0
# Ticks without a call after which a process gives back what it holds, and closes its account.
IDLE_TICKS = 2
CLOSE_TICKS = 30
# A process that holds something says so now and then, or it counts as dead.
HEARTBEAT_TICKS = 20
PAUSE_SECONDS = 1.0
LONGEST_WAIT = 3.0
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class Treasury(Protocol):
    """Where budgets are kept, for all processes."""

    async def draw(
        self, holding: Holding, *, need: Decimal, share: Decimal, now: datetime
    ) -> Drawn | None: ...

    async def tell(self, holdings: Sequence[Holding], *, now: datetime) -> list[UUID]: ...

    async def close(self, holdings: Sequence[Holding]) -> None: ...


class Reservation(NamedTuple):
    """The most that a call can cost, set aside in every hard budget it counts against."""

    parts: tuple[tuple[Lease, Decimal], ...]

    def settle(self, cost: Decimal) -> None:
        """The call has cost so much; to be called once."""
        for lease, reserved in self.parts:
            lease.settle(reserved, cost)


class Purse:
    def __init__(
        self,
        treasury: Treasury,
        read: ReadChanges,
        *,
        clock: Clock,
        ids: Ids,
        outage_share: Decimal,
        alerted: Callable[[Budget], None],
    ) -> None:
        """``alerted`` is called once a period, in one process, for a budget that is nearly used."""
        self._treasury = treasury
        self._directory = Directory(read)
        self._clock = clock
        self._ids = ids
        self._outage_share = outage_share
        self._alerted = alerted
        self._leases: dict[UUID, Lease] = {}
        self._away_until = 0.0
        self._ticks = 0

    def budgets_of(self, tenant: str, key: str = "", agent: str = "") -> tuple[Budget, ...]:
        """What a call counts against; ``key`` and ``agent`` may be empty."""
        return self._directory.of(tenant, key, agent)

    async def reserve(self, budgets: Sequence[Budget], amount: Decimal) -> Reservation:
        """Set ``amount`` aside in each hard one of ``budgets``.

        Raises:
            BudgetExceeded: one of them has not so much left.
            BudgetHeld: it has, but what is left is held for other calls now.
            BudgetUnavailable: it cannot be asked for more.
        """
        parts: list[tuple[Lease, Decimal]] = []
        try:
            for budget in budgets:
                if budget.hard:
                    parts.append((await self._take(budget, amount), amount))
                else:
                    parts.append((self._lease(budget), ZERO))
        except BaseException:
            Reservation(tuple(parts)).settle(ZERO)
            raise
        return Reservation(tuple(parts))

    async def refresh(self) -> None:
        """Learn of new and changed budgets.

        Raises:
            StorageUnavailable: the database is away.
        """
        await self._directory.refresh()
        for budget_id, lease in self._leases.items():
            budget = self._directory.get(budget_id)
            if budget is not None and budget is not lease.budget:
                lease.budget = budget
                # What was granted under other terms is asked for anew.
                lease.shrink()

    async def catch_up(self) -> None:
        """:meth:`refresh`, for a call that waits for it."""
        async with _patience():
            await self.refresh()

    async def run(self) -> None:
        """Tell, give back and learn, for ever."""
        while True:
            await self._clock.sleep(TELL_SECONDS)
            try:
                await self.refresh()
                await self.tell()
            except StorageUnavailable as error:
                log.warning("budgets wait", error=error.detail)

    async def tell(self) -> None:
        """Say what was spent, and give back what nobody has used for a while.

        Raises:
            StorageUnavailable: nobody was told; the next time tells it.
        """
        self._ticks += 1
        now = self._clock.now()
        leases = [lease for lease in self._leases.values() if not lease.drawing.locked()]
        for lease in leases:
            lease.quiet += 1
            idle = lease.quiet > IDLE_TICKS
            # Of what many calls at once have needed, fewer of them keep no more than a chunk.
            lease.shrink(ZERO if idle else lease.budget.limit_usd * CHUNK_SHARE)
        alive = self._ticks % HEARTBEAT_TICKS == 0
        await self._say([each for each in leases if not each.told or alive])
        await self._close(
            [
                each
                for each in leases
                if each.over(now) or (each.quiet > CLOSE_TICKS and each.told and not each.reserved)
            ]
        )

    async def close(self) -> None:
        """Give everything back: this process is about to end.

        Raises:
            StorageUnavailable: what it holds counts as spent until the period ends.
        """
        leases = list(self._leases.values())
        for lease in leases:
            lease.shrink()
        await self._say([each for each in leases if not each.told])
        await self._close(leases)

    def _lease(self, budget: Budget) -> Lease:
        lease = self._leases.get(budget.id)
        now = self._clock.now()
        if lease is None or lease.over(now):
            lease = self._leases[budget.id] = Lease.opened(budget, now, self._ids.new())
        return lease

    async def _take(self, budget: Budget, amount: Decimal) -> Lease:
        """The lease in which ``amount`` is reserved."""
        while True:
            lease = self._lease(budget)
            if lease.take(amount):
                return lease
            async with lease.drawing:
                if self._leases.get(budget.id) is not lease:
                    # Its period was over while others asked.
                    continue
                if lease.take(amount) or await self._more(lease, amount):
                    return lease

    async def _more(self, lease: Lease, amount: Decimal) -> bool:
        """Have the lease grow by what is missing, and take ``amount`` from it.

        False where another one has taken its place: its period is over.
        """
        need = amount - lease.free
        try:
            drawn = await self._draw(lease, need)
        except StorageUnavailable as error:
            most = lease.budget.limit_usd * self._outage_share
            if lease.borrow(need, most) and lease.take(amount):
                return True
            raise _unavailable(lease.budget) from error
        if drawn is None:
            # Deleted meanwhile: nothing limits the call any more.
            lease.granted += need
        elif drawn.start == lease.start:
            lease.drawn(drawn)
        else:
            following = self._leases[lease.budget.id] = lease.following(drawn.start)
            following.drawn(drawn)
            return False
        if not lease.take(amount):
            raise _refusal(lease, amount, drawn)
        return True

    async def _draw(self, lease: Lease, need: Decimal) -> Drawn | None:
        if self._clock.monotonic() < self._away_until:
            raise StorageUnavailable("the database was away a moment ago")
        try:
            async with _patience():
                return await self._treasury.draw(
                    lease.holding(), need=need, share=CHUNK_SHARE, now=self._clock.now()
                )
        except StorageUnavailable:
            # Nobody else waits for it in vain for a while.
            self._away_until = self._clock.monotonic() + PAUSE_SECONDS
            raise

    async def _say(self, leases: Sequence[Lease]) -> None:
        if not leases:
            return
        async with AsyncExitStack() as stack:
            for lease in leases:
                await stack.enter_async_context(lease.drawing)
            holdings = [lease.holding() for lease in leases]
            async with _patience():
                alerted = await self._treasury.tell(holdings, now=self._clock.now())
            for lease, holding in zip(leases, holdings, strict=True):
                lease.told = lease.spent == holding.spent
        for budget_id in alerted:
            budget = self._directory.get(budget_id)
            if budget is not None:
                self._alert(budget)

    async def _close(self, leases: Sequence[Lease]) -> None:
        """From here on who wants something of these budgets gets a lease of its own."""
        for lease in leases:
            if self._leases.get(lease.budget.id) is lease:
                del self._leases[lease.budget.id]
        if leases:
            async with _patience():
                await self._treasury.close([lease.holding() for lease in leases])

    def _alert(self, budget: Budget) -> None:
        self._alerted(budget)
        log.warning(
            "a budget is nearly used up",
            budget=str(budget.id),
            tenant=budget.tenant,
            whose=budget.whose,
            limit_usd=str(budget.limit_usd),
            share=str(budget.alert_share),
        )


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """A database that does not answer is away."""
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            yield
    except TimeoutError as exc:
        raise StorageUnavailable(f"the database has not answered for {LONGEST_WAIT} s") from exc


def _refusal(lease: Lease, amount: Decimal, drawn: Drawn | None) -> BudgetExceeded | BudgetHeld:
    budget = lease.budget
    limit = budget.limit_usd if drawn is None else drawn.limit
    used = lease.spent if drawn is None else drawn.used
    resets = period_end(budget.period, lease.start)
    when = f"it begins anew at {resets:%Y-%m-%dT%H:%MZ}" if resets else "it does not begin anew"
    told = {
        "budget": str(budget.id),
        "limit_usd": _usd(limit),
        "spent_usd": _usd(used),
        "needed_usd": _usd(amount),
        "resets_at": None if resets is None else resets.isoformat(),
    }
    if used + amount > limit:
        return BudgetExceeded(
            f"the {budget.period} budget of {budget.whose} has {_usd(used)} of {_usd(limit)} USD "
            f"spent, and this call may cost {_usd(amount)}; {when}",
            hint="lower max_tokens, wait, or have the limit raised",
            **told,
        )
    return BudgetHeld(
        f"the {budget.period} budget of {budget.whose} has {_usd(used)} of {_usd(limit)} USD "
        f"spent, but what is left is held for calls in flight; this one may cost {_usd(amount)}",
        hint="try again in a moment",
        retry_after=RETRY_SECONDS,
        **told,
    )


def _unavailable(budget: Budget) -> BudgetUnavailable:
    return BudgetUnavailable(
        f"the budget of {budget.whose} cannot be asked: the database is away",
        hint="try again later",
        retry_after=RETRY_SECONDS,
    )


def _usd(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.000001")).normalize(), "f")
