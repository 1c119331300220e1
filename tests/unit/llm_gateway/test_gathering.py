"""Plain calls over a server that always streams: its liveness shows, and leaving ends the work."""

from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway import gathering
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamTimeout
from agentcore.llm_gateway.models import LLMRequest, Timeouts
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.llm_gate import unbounded
from tests.fakes.llm_upstream import (
    PAUSE,
    PAUSE_SECONDS,
    Upstream,
    delta,
    event,
    events_of,
    stalls,
    streams,
    usage_event,
)
from tests.fakes.waiting import eventually, in_time

HELLO = LLMRequest(model="Qwen/Qwen3-8B", messages=[{"role": "user", "content": "Hello"}])
PATIENT = Timeouts(connect=60, first_byte=60, idle=60, total=60)
# Where nothing comes, so that the end of the time is what is waited for.
QUICK = Timeouts(connect=60, first_byte=0.05, idle=0.05, total=600)


@pytest.fixture
def provider(
    upstream: Upstream, pool: ConnectionPool, request: pytest.FixtureRequest
) -> ParallaxProvider:
    return provider_at(upstream, pool, QUICK if "silent" in request.node.name else PATIENT)


def provider_at(upstream: Upstream, pool: ConnectionPool, timeouts: Timeouts) -> ParallaxProvider:
    clock = SystemClock()
    return ParallaxProvider(
        upstream.url, pool=pool, clock=clock, gate=unbounded(clock), timeouts=timeouts
    )


def asked(provider: ParallaxProvider) -> Cleared:
    return Cleared(HELLO.call(), Destination("parallax", self_hosted=True))


@pytest.mark.parametrize(
    "parts",
    [[], [delta(role=True)], [delta("a")]],
    ids=["at once", "before its content", "in the middle"],
)
async def test_a_server_that_fell_silent_is_not_waited_for_to_the_end(
    provider: ParallaxProvider, upstream: Upstream, parts: list[bytes]
) -> None:
    upstream.behaviour = streams(*parts, then=stalls())
    with pytest.raises(UpstreamTimeout):
        async with asyncio.timeout(60):
            await provider.send(asked(provider))
    await eventually(lambda: upstream.cut_off)
    assert provider.gate.in_flight == 0


async def test_a_slow_answer_may_take_longer_than_silence_may(
    upstream: Upstream, pool: ConnectionPool
) -> None:
    async def ask(silence: float) -> None:
        pauses = round(silence / PAUSE_SECONDS) + 1
        parts = [delta(role=True), *([delta("a"), PAUSE] * pauses), delta(finish="stop")]
        upstream.behaviour = streams(*parts, usage_event(), event("[DONE]"))
        timeouts = PATIENT.model_copy(update={"idle": silence})
        response = await provider_at(upstream, pool, timeouts).complete(HELLO)
        assert response.content == "a" * pauses
        assert response.usage is not None

    await in_time(ask, 0.15)


async def test_a_connection_that_lingers_is_not_waited_for(
    provider: ParallaxProvider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "AFTERMATH_SECONDS", 0.02)
    upstream.behaviour = streams(*events_of("Hello", usage=True), then=stalls())
    assert (await provider.complete(HELLO)).content == "Hello"


async def test_an_answer_without_end_is_none(
    provider: ParallaxProvider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "LARGEST_ANSWER", 1000)
    upstream.behaviour = streams(*([delta("a" * 100)] * 20))
    with pytest.raises(UpstreamMalformed, match="more than 1000 bytes"):
        await provider.complete(HELLO)
