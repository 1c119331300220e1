from __future__ import annotations

import asyncio

import pytest

from agentcore.simulators.admission import Admission
from agentcore.simulators.wire import Refused
from tests.fakes.clock import ManualClock
from tests.unit.simulators.conftest import Configure


async def hold(admission: Admission, order: list[int], number: int, free: asyncio.Event) -> None:
    async with admission.slot():
        order.append(number)
        await free.wait()


async def test_requests_beyond_the_capacity_wait_in_order(configure: Configure) -> None:
    admission = Admission(configure(capacity=2), ManualClock())
    order: list[int] = []
    free = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(hold(admission, order, number, free))
        await asyncio.sleep(0.01)
        assert order == [0, 1]
        assert (admission.running, admission.waiting) == (2, 2)
        free.set()
    assert order == [0, 1, 2, 3]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_waiting_ends_in_a_429(configure: Configure) -> None:
    admission = Admission(configure(capacity=1, queue_seconds=0.01), ManualClock())
    async with admission.slot():
        with pytest.raises(Refused) as caught:
            async with admission.slot():
                pass
    assert caught.value.refusal.code == "rate_limit_exceeded"
    assert (admission.running, admission.waiting) == (0, 0)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_full_cluster_may_reject_at_once(status: int, configure: Configure) -> None:
    config = configure(capacity=1, when_full="reject", reject_status=status)
    admission = Admission(config, ManualClock())
    async with admission.slot():
        with pytest.raises(Refused) as caught:
            async with admission.slot():
                pass
    assert caught.value.refusal.status == status


async def test_a_cancelled_waiter_leaves_no_trace(configure: Configure) -> None:
    admission = Admission(configure(capacity=1), ManualClock())
    free = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(admission, [], 0, free))
        waiter = group.create_task(hold(admission, [], 1, free))
        await asyncio.sleep(0.01)
        waiter.cancel()
        free.set()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_starts_are_a_budget_that_only_a_heartbeat_refills(configure: Configure) -> None:
    clock = ManualClock()
    admission = Admission(configure(capacity=2, queue_seconds=97), clock)
    await admission.start(10)
    await admission.start(10)
    third = asyncio.ensure_future(admission.start(10))
    await asyncio.sleep(0)
    assert clock.slept == [10]
    clock.advance(10)
    await asyncio.wait_for(third, 60)


async def test_a_budget_that_never_comes_is_a_429(configure: Configure) -> None:
    clock = ManualClock()
    admission = Admission(configure(capacity=1, queue_seconds=5), clock)
    await admission.start(10)
    waiting = [asyncio.ensure_future(admission.start(10)) for _ in range(2)]
    await asyncio.sleep(0)
    clock.advance(10)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Refused]
