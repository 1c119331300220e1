from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway.admission import FixedLimit, Full, Gate
from agentcore.llm_gateway.models import LLMRequest, QueueConfig
from agentcore.llm_gateway.parallax.cluster_manager import ParallaxClusterManager
from agentcore.llm_gateway.parallax.errors import (
    ClusterNotDrained,
    ModelNotInCatalogue,
    ModelSwitchFailed,
    ModelSwitchUnderway,
)
from agentcore.llm_gateway.parallax.model_switch import SwitchTimes
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.clock import InstantClock
from tests.fakes.parallax_scheduler import NEW, OLD, FakeScheduler, parallax_scheduler

HELLO = LLMRequest(model=OLD, messages=[{"role": "user", "content": "Hello"}])
# Of a clock that counts how often was looked.
QUICK = SwitchTimes(drain=3600, ready=0.2, look=0.005)


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    async with parallax_scheduler() as running:
        yield running


@pytest.fixture
def gate() -> Gate:
    clock = SystemClock()
    return Gate(FixedLimit(8, clock), clock, QueueConfig(places=8, patience=60))


@pytest.fixture
def manager(scheduler: FakeScheduler, gate: Gate, pool: ConnectionPool) -> ParallaxClusterManager:
    return ParallaxClusterManager(scheduler.url, pool=pool, clock=InstantClock(), gate=gate)


async def test_another_model_is_served_when_a_completion_has_succeeded(
    manager: ParallaxClusterManager, scheduler: FakeScheduler
) -> None:
    scheduler.looks = 3
    switched = await manager.preload_model(NEW, QUICK)
    assert (switched.model, switched.before) == (NEW, OLD)
    assert switched.seconds > 0
    order = {"model_name": NEW, "init_nodes_num": 2, "is_local_network": True}
    assert scheduler.orders == [order]
    assert scheduler.asked == [NEW]
    assert await manager.list_models() == [NEW]
    answer = await manager.generate(NEW, HELLO.messages)
    assert answer.content == f"I am {NEW}"


async def test_an_unknown_name_changes_nothing(
    manager: ParallaxClusterManager, scheduler: FakeScheduler
) -> None:
    with pytest.raises(ModelNotInCatalogue, match="Qwen3-8C") as caught:
        await manager.preload_model("Qwen/Qwen3-8C", QUICK)
    assert OLD in caught.value.hint
    assert scheduler.orders == []


async def test_the_served_model_is_only_tried(
    manager: ParallaxClusterManager, scheduler: FakeScheduler
) -> None:
    switched = await manager.preload_model(OLD, QUICK)
    assert switched.seconds == 0
    assert scheduler.orders == []
    assert scheduler.asked == [OLD]


@pytest.mark.parametrize("how", ["broken", "lying", "refused"])
async def test_the_old_model_comes_back(
    manager: ParallaxClusterManager, scheduler: FakeScheduler, how: str
) -> None:
    if how == "refused":
        scheduler.refuses_init = True
        scheduler.on_init = lambda: setattr(scheduler, "refuses_init", len(scheduler.orders) == 1)
    else:
        getattr(scheduler, how).add(NEW)
    with pytest.raises(ModelSwitchFailed, match=f"'{OLD}' is served again"):
        await manager.preload_model(NEW, QUICK)
    assert [order["model_name"] for order in scheduler.orders] == [NEW, OLD]
    answer = await manager.generate(OLD, HELLO.messages)
    assert answer.content == f"I am {OLD}"


async def test_a_cluster_that_can_serve_neither_says_so(
    manager: ParallaxClusterManager, scheduler: FakeScheduler
) -> None:
    scheduler.on_init = lambda: scheduler.broken.update({NEW, OLD})
    with pytest.raises(ModelSwitchFailed, match="did not come back"):
        await manager.preload_model(NEW, QUICK)
    assert not await manager.is_healthy()


async def test_calls_under_way_are_let_end_and_nobody_is_let_in(
    manager: ParallaxClusterManager, scheduler: FakeScheduler, gate: Gate
) -> None:
    running = await gate.enter(HELLO.call())
    seen: list[tuple[int, bool]] = []
    scheduler.on_init = lambda: seen.append((gate.in_flight, gate.free()))
    async with asyncio.TaskGroup() as group:
        switching = group.create_task(manager.preload_model(NEW, QUICK))
        while gate.free():
            await asyncio.sleep(0.001)
        assert manager.health == "not_ready"
        assert manager.trouble == "is given another model"
        waiting = group.create_task(_refused(gate))
        running.leave()
        await switching
    assert seen == [(0, False)]
    # Who waited wanted the old model.
    assert waiting.result()
    assert gate.free()


async def test_a_busy_cluster_keeps_its_model(
    manager: ParallaxClusterManager, scheduler: FakeScheduler, gate: Gate
) -> None:
    running = await gate.enter(HELLO.call())
    with pytest.raises(ClusterNotDrained, match="1 calls"):
        await manager.preload_model(NEW, SwitchTimes(drain=0.01))
    running.leave()
    assert scheduler.orders == []
    assert gate.free()


async def test_one_switch_at_a_time(manager: ParallaxClusterManager, gate: Gate) -> None:
    running = await gate.enter(HELLO.call())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(manager.preload_model(NEW, QUICK))
        while gate.free():
            await asyncio.sleep(0.001)
        with pytest.raises(ModelSwitchUnderway):
            await manager.preload_model(OLD, QUICK)
        running.leave()
        await first


async def test_a_name_for_another_model_is_not_served(
    scheduler: FakeScheduler, gate: Gate, pool: ConnectionPool
) -> None:
    """The scheduler would answer with the model it has, under any name."""
    manager = ParallaxClusterManager(
        scheduler.url,
        pool=pool,
        clock=InstantClock(),
        gate=gate,
        models={"big": OLD, "small": NEW},
    )
    assert await manager.list_models() == ["big"]
    await manager.preload_model(NEW, QUICK)
    assert manager.served_models() == ("small",)
    assert manager.upstream_model("big") is None


async def _refused(gate: Gate) -> bool:
    try:
        await gate.enter(HELLO.call())
    except Full:
        return True
    return False
