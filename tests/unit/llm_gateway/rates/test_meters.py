from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.errors import RequestTooLarge
from agentcore.llm_gateway.errors import RateLimitExceeded
from agentcore.llm_gateway.rates.meters import (
    FORGET_TICKS,
    MOST_GROUPS,
    Limit,
    Meter,
    Meters,
    duration,
    rate_headers,
)
from agentcore.llm_gateway.rates.sources import LocalTokens, Standing
from tests.fakes.clock import ManualClock

TOKENS = Limit("k1", "this key", "tokens", 6000)
REQUESTS = Limit("k1", "this key", "requests", 600)


class Counted(LocalTokens):
    """Counts how often it is asked."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked = 0

    async def take(self, name: str, per_minute: int, amount: int) -> Standing:
        self.asked += 1
        await asyncio.sleep(0)
        return await super().take(name, per_minute, amount)


@pytest.fixture
def source(clock: ManualClock) -> Counted:
    return Counted(clock)


async def test_a_busy_caller_is_asked_for_once_in_a_while(source: Counted) -> None:
    meter = Meter(REQUESTS, source)
    for _ in range(80):
        await meter.take(1)
    assert source.asked <= 20
    await meter.tick()
    before = source.asked
    for _ in range(80):
        await meter.take(1)
    assert source.asked - before <= 9
    assert meter.remaining == 600 - 160


async def test_who_asks_seldom_takes_nothing_ahead(source: Counted, clock: ManualClock) -> None:
    meter = Meter(Limit("k", "this key", "requests", 60), source)
    for _ in range(60):
        await meter.take(1)
        await meter.tick()
    with pytest.raises(RateLimitExceeded):
        await meter.take(1)


async def test_over_all_processes_nobody_gets_more(source: Counted) -> None:
    meters = [Meter(REQUESTS, source) for _ in range(3)]

    async def asking(meter: Meter) -> int:
        answered = 0
        for n in range(400):
            try:
                await meter.take(1)
            except RateLimitExceeded:
                continue
            answered += 1
            if n % 50 == 0:
                await meter.tick()
        return answered

    answered = await asyncio.gather(*(asking(meter) for meter in meters))
    assert 550 <= sum(answered) <= 600


async def test_a_refusal_says_what_there_is_and_when_to_return(source: Counted) -> None:
    meter = Meter(TOKENS, source)
    await meter.take(5900)
    with pytest.raises(RateLimitExceeded) as refused:
        await meter.take(200)
    assert refused.value.detail == "this key may use 6000 tokens a minute, and they are used up"
    assert refused.value.retry_after == pytest.approx(1.0)
    assert refused.value.retry_after_header == "1"
    assert refused.value.context["ratelimit"] == {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "59s",
    }
    await meter.take(100)


async def test_what_can_never_pass_is_said_to_be_too_large(source: Counted) -> None:
    with pytest.raises(RequestTooLarge, match="may use 6001 tokens, and this key may use 6000"):
        await Meter(TOKENS, source).take(6001)


async def test_what_was_not_needed_serves_here_first_and_then_everywhere(source: Counted) -> None:
    meter, other = Meter(TOKENS, source), Meter(TOKENS, source)
    await meter.take(6000)
    meter.give(5000)
    await meter.take(1000)
    with pytest.raises(RateLimitExceeded):
        await other.take(4000)
    for _ in range(2):
        await meter.tick()
    await other.take(4000)


async def test_what_was_used_beyond_is_owed_here_and_everywhere(source: Counted) -> None:
    meter, other = Meter(TOKENS, source), Meter(TOKENS, source)
    await meter.take(1000)
    meter.give(-9000)
    with pytest.raises(RateLimitExceeded):
        await meter.take(1)
    await meter.tick()
    with pytest.raises(RateLimitExceeded) as refused:
        await other.take(1)
    assert refused.value.retry_after == pytest.approx(40.01, abs=0.1)


async def test_meters_that_nobody_uses_are_forgotten(source: Counted) -> None:
    meters = Meters({"tokens": source, "requests": source})
    meter = meters.of(TOKENS)
    assert meters.of(TOKENS) is meter
    await meter.take(10)
    for _ in range(FORGET_TICKS + 1):
        await meters.tick()
    assert meters.of(TOKENS) is not meter


async def test_of_several_limits_the_tightest_is_told(source: Counted) -> None:
    loose, tight = Meter(TOKENS, source), Meter(Limit("t", "acme", "tokens", 100), source)
    requests = Meter(REQUESTS, source)
    await tight.take(40)
    assert rate_headers([loose, tight, requests])[:3] == [
        ("x-ratelimit-limit-requests", "600"),
        ("x-ratelimit-remaining-requests", "600"),
        ("x-ratelimit-reset-requests", "0ms"),
    ]
    assert ("x-ratelimit-remaining-tokens", "60") in rate_headers([loose, tight, requests])
    assert rate_headers([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (8.64, "8.64s"), (60, "1m0s"), (359.5, "5m59.5s")],
)
def test_durations_read_as_openais(seconds: float, text: str) -> None:
    assert duration(seconds) == text


async def test_a_callers_meters_are_found_again_until_they_are_forgotten(source: Counted) -> None:
    meters = Meters({"tokens": source, "requests": source})
    asked: list[str] = []

    def limits() -> list[Limit]:
        asked.append("k1")
        return [TOKENS, REQUESTS]

    group = meters.group("k1", limits)
    assert meters.group("k1", limits) is group
    assert group == (meters.of(TOKENS), meters.of(REQUESTS))
    for _ in range(FORGET_TICKS + 1):
        await meters.tick()
    assert meters.group("k1", limits) != group
    assert len(asked) == 2
    for n in range(MOST_GROUPS):
        meters.group(n, list)
    meters.group("k1", limits)
    assert len(asked) == 3
