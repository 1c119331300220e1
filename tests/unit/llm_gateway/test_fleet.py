"""A new configuration under a gateway that is at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import InvalidInput, StartupError
from agentcore.kit.ids import Ids
from agentcore.kit.resilience import CircuitOpen
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.errors import (
    PrivateProviderUnavailable,
    UnknownModel,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.fleet import Fleet, Reloaded
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, ChatCall, GatewayConfig
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_upstream import Behaviour, Upstream, delta, fails, says, streams
from tests.fakes.waiting import eventually

CALL = ChatCall("m", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]})


@dataclass
class World:
    fleet: Fleet
    router: HybridRouter
    supervisor: Supervisor
    metrics: GatewayMetrics
    upstream: Upstream
    told: Any
    private: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)

    def configured(self, *names: str, **more: Any) -> GatewayConfig:
        providers = [
            {
                "name": name,
                "kind": "compatible",
                "base_url": self.upstream.v1,
                "models": {"m": "theirs"},
                "price": {"input": "1", "output": "1"},
                **self.own,
                "private": name in self.private,
            }
            for name in names
        ]
        return GatewayConfig.model_validate({"providers": providers, **more})

    async def reload(self, *names: str, **more: Any) -> Reloaded:
        self.told = self.configured(*names, **more)
        return await self.fleet.reload(self.reread)

    def reread(self) -> GatewayConfig:
        if isinstance(self.told, Exception):
            raise self.told
        config: GatewayConfig = self.told
        return config

    async def answered_by(self) -> str:
        return (await self.router.dispatch(CALL)).provider


@pytest.fixture
async def world(
    pool: ConnectionPool,
    upstream: Upstream,
    registry: CollectorRegistry,
    ids: Ids,
    lines: list[CallRecord],
) -> AsyncIterator[World]:
    clock = SystemClock()
    metrics = GatewayMetrics(registry)
    prices = PriceBook((), reference_model="gpt-5-mini", clock=clock)
    await prices.load()
    accounts = Accounts(prices=prices, metrics=metrics, record=lines.append, clock=clock)
    router = HybridRouter([], {}, accounts=accounts, clock=clock, ids=ids)
    async with Supervisor(clock) as supervisor:
        fleet = Fleet(
            GatewayConfig.model_validate({}),
            router,
            build=lambda each, queue: build_provider(each, pool, clock, queue),
            kinds={},
            supervisor=supervisor,
            metrics=metrics,
            clock=clock,
        )
        fleet.start()
        yield World(fleet, router, supervisor, metrics, upstream, None)


def when(held: asyncio.Event, behaviour: Behaviour) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        await held.wait()
        return await behaviour(request)

    return behave


async def test_providers_come_change_and_go(world: World) -> None:
    with pytest.raises(UnknownModel):
        await world.answered_by()
    told = await world.reload("a", "b")
    assert (told.added, told.changed, told.removed) == (("a", "b"), (), ())
    assert await world.answered_by() == "a"
    told = await world.reload("b", "c")
    assert (told.added, told.changed, told.removed) == (("c",), (), ("a",))
    assert await world.answered_by() == "b"
    world.told = world.configured("b", "c")
    (first, second) = world.told.providers
    dearer = first.model_copy(update={"private": True})
    world.told = world.told.model_copy(update={"providers": (dearer, second)})
    told = await world.fleet.reload(world.reread)
    assert (told.added, told.changed, told.removed) == ((), ("b",), ())
    assert set(world.supervisor.health()) == {"gateway provider b", "gateway provider c"}
    assert set(world.metrics.gates) == {"b", "c"}
    assert world.metrics.gates["b"] is world.router.providers["b"].gate


async def test_who_stays_the_same_keeps_what_was_learned(world: World) -> None:
    await world.reload("a")
    target = world.router.targets["a"]
    target.breaker.failed()
    target.meter.began(1.0)
    await world.reload("a", "b", breaker_failures=2, breaker_recovery=600)
    assert world.router.targets["a"] is target
    # What is configured anew holds for it, too.
    target.breaker.failed()
    with pytest.raises(CircuitOpen) as refused:
        target.breaker.admit()
    assert refused.value.retry_after == pytest.approx(600, abs=60)
    await world.reload("a", "b", queue={"places": 1})
    assert world.router.targets["a"] is not target


async def test_a_stream_of_who_goes_comes_to_its_end(world: World) -> None:
    await world.reload("a")
    parts = [delta("Hel"), b"", delta("lo"), delta(finish="stop")]
    world.upstream.behaviours = [streams(*parts)]
    answer = await world.router.dispatch(
        CALL._replace(stream=True, body={**CALL.body, "stream": True})
    )
    assert not isinstance(answer.reply, PlainReply)
    got = await answer.reply.next()
    await world.reload("b")
    while block := await answer.reply.next():
        got += block
    answer.reply.close()
    assert b"lo" in got
    assert got.endswith(b"data: [DONE]\n\n")
    assert await world.answered_by() == "b"


async def test_calls_go_on_while_everything_changes(world: World) -> None:
    await world.reload("a", "b")
    world.upstream.behaviour = says("Hello there!")

    async def call_on() -> None:
        for _ in range(20):
            await world.answered_by()

    async def change() -> None:
        for number in range(6):
            await world.reload(*(("a", "b"), ("b", "c"), ("c", "a"))[number % 3])

    await asyncio.gather(change(), *(call_on() for _ in range(4)))
    assert set(world.router.targets) == {"c", "a"}


@pytest.mark.parametrize("waits", [True, False], ids=["own hardware", "API"])
async def test_calls_under_way_count_against_a_limit_that_is_configured_anew(
    world: World, waits: bool
) -> None:
    world.own = {"self_hosted": waits, "max_concurrency": 2}
    await world.reload("a", queue={"reserve": 0})
    held = asyncio.Event()
    world.upstream.behaviour = when(held, says("Hello there!"))
    before = [asyncio.create_task(world.answered_by()) for _ in range(3 if waits else 2)]
    await eventually(lambda: world.router.providers["a"].gate.outstanding == len(before))
    world.own = {**world.own, "max_concurrency": 1}
    await world.reload("a", queue={"reserve": 0})
    await world.reload("a", queue={"reserve": 0, "gather": 0})
    gate = world.router.providers["a"].gate
    assert (gate.limit, gate.in_flight) == (1, 2)
    if waits:
        before.append(asyncio.create_task(world.answered_by()))
        await eventually(lambda: gate.queued["medium"] == 1)
    else:
        with pytest.raises(UpstreamRateLimited):
            await world.answered_by()
    assert len(world.upstream.bodies) == 2
    held.set()
    assert await asyncio.gather(*before) == ["a"] * len(before)
    assert gate.in_flight == 0


async def test_calls_at_another_server_do_not_count(world: World) -> None:
    world.own = {"max_concurrency": 1}
    await world.reload("a")
    held = asyncio.Event()
    world.upstream.behaviour = when(held, says("Hello there!"))
    first = asyncio.create_task(world.answered_by())
    await eventually(lambda: world.router.providers["a"].gate.in_flight == 1)
    world.own = {**world.own, "base_url": world.upstream.v1.replace("127.0.0.1", "localhost")}
    await world.reload("a")
    assert world.router.providers["a"].gate.in_flight == 0
    held.set()
    assert await first == "a"


async def test_a_private_call_in_line_is_not_sent_to_who_is_private_no_more(world: World) -> None:
    world.private, world.own = "a", {"self_hosted": True, "max_concurrency": 1}
    await world.reload("a")
    held = asyncio.Event()
    world.upstream.behaviour = when(held, says("Hello there!"))
    private = CALL._replace(requires_privacy=True)
    first, second = (asyncio.create_task(world.router.dispatch(private)) for _ in range(2))
    await eventually(lambda: world.router.providers["a"].gate.outstanding == 2)
    world.private = ""
    await world.reload("a")
    held.set()
    assert (await first).provider == "a"
    with pytest.raises(UpstreamRateLimited):
        await second
    assert len(world.upstream.bodies) == 1


async def test_a_private_call_falls_back_to_nobody_who_is_private_no_more(world: World) -> None:
    world.private = "ab"
    await world.reload("a", "b", "c")
    held = asyncio.Event()
    world.upstream.behaviour = when(held, fails(503, {}))
    call = asyncio.create_task(world.router.dispatch(CALL._replace(requires_privacy=True)))
    await eventually(lambda: len(world.upstream.bodies) == 1)
    world.private = "a"
    await world.reload("a", "b", "c")
    held.set()
    with pytest.raises(PrivateProviderUnavailable, match="'b' is private no more"):
        await call
    assert len(world.upstream.bodies) == 1


async def test_wrong_settings_change_nothing(world: World) -> None:
    await world.reload("a")
    world.told = StartupError("unknown setting llm_gateway.provider")
    with pytest.raises(InvalidInput, match="unknown setting"):
        await world.fleet.reload(world.reread)
    assert await world.answered_by() == "a"
    assert set(world.supervisor.health()) == {"gateway provider a"}


async def test_what_needs_a_new_start_is_named(world: World) -> None:
    told = await world.reload("a", max_body_bytes=2048, ledger_flush=9)
    assert told.ignored == ("ledger_flush", "max_body_bytes")
    # It goes on being named until the new start.
    assert (await world.reload("a", max_body_bytes=2048)).ignored == ("max_body_bytes",)


async def test_shadows_begin_and_end(world: World) -> None:
    shadows = {"traffic": {"shadows": [{"model": "m", "provider": "b"}]}}
    await world.reload("a", "b", **shadows)
    assert "gateway shadows" in world.supervisor.health()
    await world.reload("a", "b")
    assert "gateway shadows" not in world.supervisor.health()
