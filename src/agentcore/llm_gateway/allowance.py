"""Whether a caller may ask at all, and what it may cost: settled before anything is sent.

The router has every call let in by a :class:`Guard`. What is let in holds money before each
attempt, and settles when the attempt is over. Who has no limit and no budget asks nobody and
costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import DeadlineExceeded
from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.accounts import CANCELLED, Outcome
from agentcore.llm_gateway.budgets.errors import PriceUnknown
from agentcore.llm_gateway.budgets.models import ZERO, Budget
from agentcore.llm_gateway.budgets.purse import Purse, Reservation
from agentcore.llm_gateway.chat_wire import whole_number
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.prices import Price
from agentcore.llm_gateway.rates.meters import Limit, Meter, Meters, Unit, rate_headers
from agentcore.llm_gateway.rates.models import NO_RATES, Rates
from agentcore.llm_gateway.terms import NO_TERMS

# What a token takes at least, and about, of a text.
LEAST_BYTES = 1
USUAL_BYTES = 4
USUAL_COMPLETION = 512
# Members whose value is a picture, a sound or a file in base64: tokens of one at least, and bytes
# for each beyond. Smaller requests are not looked through.
MEDIA = frozenset({"url", "image_url", "data", "file_data"})
MEDIA_TOKENS = 4096
BYTES_PER_MEDIA_TOKEN = 16
MEDIA_BYTES = 64 * 1024
# The frame of an event: what it has beside its text, in bytes.
FRAME_BYTES = 160
TICK_SECONDS = 1.0
REFRESH_TICKS = 5
MOST_KEYS = 10_000
AWAY_SECONDS = 5.0

log = structlog.get_logger()


class Hold(Protocol):
    """What one attempt may cost, set aside; settled or released once."""

    def settle(self, outcome: Outcome, cost: Decimal | None) -> None:
        """The attempt is over: it has cost so much, or nobody knows what."""
        ...

    def release(self, outcome: Outcome) -> None:
        """Nothing came of the attempt; its status says why."""
        ...


class Grant(Protocol):
    """A call that was let in."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """What the caller is told about its limits."""
        ...

    async def hold(self, price: Price | None) -> Hold:
        """Set aside the most that an attempt at this price can cost.

        Raises:
            BudgetExceeded, BudgetHeld, BudgetUnavailable, PriceUnknown: it may not be made.
        """
        ...

    def rest(self, call: ChatCall) -> Grant:
        """For ``call``, which is what is left of this one: it counts as no further request."""
        ...

    def over(self) -> None:
        """Nobody answered the call."""
        ...


class Guard(Protocol):
    async def admit(self, call: ChatCall) -> Grant:
        """Let ``call`` in.

        Raises:
            RateLimitExceeded, RequestTooLarge: it may not be made now, or never.
        """
        ...


class Unlimited:
    """Everything is allowed: a guard, and what it grants."""

    headers: Sequence[tuple[str, str]] = ()

    async def admit(self, call: ChatCall) -> Grant:
        return self

    async def hold(self, price: Price | None) -> Hold:
        return self

    def settle(self, outcome: Outcome, cost: Decimal | None) -> None: ...

    def release(self, outcome: Outcome) -> None: ...

    def rest(self, call: ChatCall) -> Grant:
        return self

    def over(self) -> None: ...


UNLIMITED = Unlimited()


class Allowance:
    """The guard of a process: keys' terms, tenants' rates, budgets."""

    def __init__(
        self,
        purse: Purse,
        meters: Meters,
        tenants: Callable[[], Awaitable[Mapping[str, Rates]]],
        *,
        clock: Clock,
        worst_completion: int,
    ) -> None:
        """``worst_completion`` is the longest answer, in tokens, where a request names no limit."""
        self._purse = purse
        self._meters = meters
        self._read_tenants = tenants
        self._tenants: Mapping[str, Rates] = {}
        self._clock = clock
        self._worst_completion = worst_completion
        self._met: set[str] = set()
        self._meeting = asyncio.Lock()
        self._away_until = -math.inf

    async def admit(self, call: ChatCall) -> Grant:
        if call.key_id and call.key_id not in self._met:
            await self._meet(call.key_id)
        budgets = self._purse.budgets_of(call.tenant, call.key_id, call.agent)
        rates = self._tenants.get(call.tenant, NO_RATES)
        terms = call.terms
        if (terms is NO_TERMS or terms.unmetered) and rates is NO_RATES:
            if not budgets:
                return UNLIMITED
            return _Admitted(call, self._purse, budgets, (), self._worst_completion)
        caller = (call.tenant, call.key_id, terms, rates)
        meters = self._meters.group(caller, lambda: _limits(call, rates))
        used = await _enter(meters, call) if meters else ()
        return _Admitted(call, self._purse, budgets, used, self._worst_completion)

    async def refresh(self) -> None:
        """Learn who has which budgets and rates; to be called before the first call.

        Raises:
            StorageUnavailable: the database is away.
        """
        self._tenants = await self._read_tenants()
        await self._purse.refresh()

    async def _meet(self, key_id: str) -> None:
        """Another process may have made the key a moment ago, and its budget before it.

        Of those who come at once one looks.
        """
        async with self._meeting:
            if key_id in self._met or self._clock.monotonic() < self._away_until:
                return
            try:
                await self._purse.catch_up()
            except StorageUnavailable as error:
                # Nobody else waits for it in vain for a while.
                self._away_until = self._clock.monotonic() + AWAY_SECONDS
                log.warning("budgets of a new key wait", error=error.detail)
                return
            if len(self._met) >= MOST_KEYS:
                self._met.clear()
            self._met.add(key_id)

    async def run(self) -> None:
        """Keep rates up to the second, and what is known of tenants nearly so, for ever."""
        ticks = 0
        while True:
            await self._clock.sleep(TICK_SECONDS)
            ticks += 1
            await self._meters.tick()
            if ticks % REFRESH_TICKS == 0:
                try:
                    self._tenants = await self._read_tenants()
                except StorageUnavailable as error:
                    log.warning("rates of tenants wait", error=error.detail)


def _limits(call: ChatCall, rates: Rates) -> list[Limit]:
    own, whole = f"key:{call.tenant}:{call.key_id}", f"tenant:{call.tenant}"
    wanted: tuple[tuple[str, str, Unit, int | None], ...] = (
        (own, "this key", "tokens", call.terms.tokens_per_minute),
        (whole, "this tenant", "tokens", rates.tokens_per_minute),
        (own, "this key", "requests", call.terms.requests_per_minute),
        (whole, "this tenant", "requests", rates.requests_per_minute),
    )
    return [Limit(name, whose, unit, n) for name, whose, unit, n in wanted if n is not None]


class _Used(NamedTuple):
    """What a call has taken of a limit."""

    meter: Meter
    amount: int


class _Admitted:
    """A call with limits or budgets."""

    __slots__ = ("_budgets", "_purse", "_settled", "_used", "_worst", "call")

    def __init__(
        self,
        call: ChatCall,
        purse: Purse,
        budgets: Sequence[Budget],
        used: Sequence[_Used],
        worst_completion: int,
    ) -> None:
        self.call = call
        self._purse = purse
        self._budgets = budgets
        self._used = used
        self._worst = worst_completion
        self._settled = False

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        return rate_headers([each.meter for each in self._used])

    async def hold(self, price: Price | None) -> Hold:
        ceiling = None if price is None else price.ceiling(*self._most())
        if ceiling is None and any(budget.hard for budget in self._budgets):
            raise PriceUnknown(
                f"nobody knows what {self.call.model!r} costs there, and the caller's budget is "
                "a hard one",
                hint="give the provider a 'price' or a 'price_model', or make the budget soft",
            )
        # What costs nothing at all needs no budget: own hardware answers when the money is gone.
        budgets = () if ceiling == ZERO else self._budgets
        amount = ceiling or ZERO
        return _Held(self, await self._purse.reserve(budgets, amount), amount)

    def used(self, tokens: int) -> None:
        """An attempt has used so many; of several the first one uses what was taken before."""
        for meter, amount in self._used:
            if meter.limit.unit == "tokens":
                meter.give((0 if self._settled else amount) - tokens)
        self._settled = True

    def rest(self, call: ChatCall) -> Grant:
        left = _Admitted(call, self._purse, self._budgets, self._used, self._worst)
        # What was taken before, the call itself has used.
        left._settled = True
        return left

    def over(self) -> None:
        if not self._settled:
            self.used(0)

    def _most(self) -> tuple[int, int]:
        """Tokens that the call can come to: no tokenizer makes more of a text than its bytes."""
        call = self.call
        prompt = call.prompt_bytes // LEAST_BYTES
        if call.prompt_bytes > MEDIA_BYTES:
            prompt -= spared_by_media(call.body)
        if call.dialect == "embeddings":
            return prompt, 0
        times = whole_number(call.body.get("n")) or 1
        completion = self._worst if call.max_tokens is None else call.max_tokens
        return prompt, max(0, completion) * times


class _Held:
    __slots__ = ("_admitted", "_most", "_reservation")

    def __init__(self, admitted: _Admitted, reservation: Reservation, most: Decimal) -> None:
        self._admitted = admitted
        self._reservation = reservation
        self._most = most

    def settle(self, outcome: Outcome, cost: Decimal | None) -> None:
        usage = outcome.usage or _guessed(outcome)
        if cost is None and usage is not None and outcome.price is not None:
            # The ledger says that it is unknown; a budget that counted nothing would never end.
            cost = min(outcome.price.of(usage) or ZERO, self._most)
        self._reservation.settle(cost or ZERO)
        self._admitted.used(usage.total_tokens if usage else 0)

    def release(self, outcome: Outcome) -> None:
        if outcome.status == DeadlineExceeded.code:
            # The time was the caller's own: it has left.
            self.settle(outcome._replace(status=CANCELLED), None)
        else:
            self._reservation.settle(ZERO)


def spared_by_media(body: Mapping[str, JsonValue]) -> int:
    """By how much pictures, sounds and files inside a request are fewer tokens than bytes.

    Only where a provider decodes them: the same bytes as a text are a text.
    """
    spared = 0
    left: list[JsonValue] = [value for value in body.values() if isinstance(value, list | dict)]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += [value for value in each if isinstance(value, list | dict)]
        elif isinstance(each, dict):
            if each.get("type") == "text":
                # A document that is a text, or a part whose other members nobody reads.
                continue
            for name, value in each.items():
                if isinstance(value, list | dict):
                    left.append(value)
                elif name in MEDIA and isinstance(value, str) and len(value) > MEDIA_TOKENS:
                    spared += len(value) - max(MEDIA_TOKENS, len(value) // BYTES_PER_MEDIA_TOKEN)
    return spared


async def _enter(meters: Sequence[Meter], call: ChatCall) -> list[_Used]:
    """Take what the call will about use of each; of all or of none."""
    used: list[_Used] = []
    try:
        for meter in meters:
            amount = 1 if meter.limit.unit == "requests" else _about(call)
            await meter.take(amount)
            used.append(_Used(meter, amount))
    except BaseException:
        for taken, amount in used:
            taken.give(amount)
        raise
    return used


def _about(call: ChatCall) -> int:
    completion = USUAL_COMPLETION if call.max_tokens is None else max(0, call.max_tokens)
    return call.prompt_bytes // USUAL_BYTES + (0 if call.dialect == "embeddings" else completion)


def _guessed(outcome: Outcome) -> TokenUsage | None:
    """What an answer without a usage has about used; None where nobody bills for it."""
    prompt = outcome.call.prompt_bytes // USUAL_BYTES
    if outcome.first_chunk is None and outcome.status == CANCELLED:
        if outcome.destination.self_hosted:
            return None
        # An API bills what it has read, and what it thought before it said anything.
        about = min(_about(outcome.call), prompt + USUAL_COMPLETION)
        return TokenUsage(prompt, about - prompt, about)
    if outcome.first_chunk is None and not outcome.written:
        return None
    text = outcome.written - FRAME_BYTES * outcome.events
    completion = outcome.events + max(0, text) // USUAL_BYTES
    return TokenUsage(prompt, completion, prompt + completion)
