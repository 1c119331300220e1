"""A new configuration under a gateway that is at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import InvalidInput, StartupError
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.errors import UnknownModel
from agentcore.llm_gateway.fleet import Fleet, Reloaded
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, ChatCall, GatewayConfig
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_upstream import Upstream, delta, says, streams

CALL = ChatCall("m", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]})


@dataclass
class World:
    fleet: Fleet
    router: HybridRouter
    supervisor: Supervisor
    metrics: GatewayMetrics
    upstream: Upstream
    told: Any

    def configured(self, *names: str, **more: Any) -> GatewayConfig:
        providers = [
            {
                "name": name,
                "kind": "compatible",
                "base_url": self.upstream.v1,
                "models": {"m": "theirs"},
                "price": {"input": "1", "output": "1"},
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
    await world.reload("a", "b")
    assert world.router.targets["a"] is target
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
