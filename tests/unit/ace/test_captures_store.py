from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from agentcore.ace.captures import store
from agentcore.ace.captures.store import Captured
from agentcore.ace.errors import UnknownAgent
from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from tests.fakes.context import ALICE, ContextWorld

AGENTS = ("agent-123", "agent-9")


async def captured(
    world: ContextWorld, *traces: ExecutionTrace
) -> list[Captured | BaseException | None]:
    """What became of those that come at once."""
    now = world.clock.now()
    return await asyncio.gather(
        *(world.store.capture(trace, now) for trace in traces), return_exceptions=True
    )


async def stored(
    world: ContextWorld, agent_id: str, moment: datetime | None = None, limit: int = 99
) -> list[ExecutionTrace]:
    return await world.store.run(lambda unit: unit.traces.since(agent_id, moment, limit=limit))


async def test_of_many_at_once_each_is_counted_once_and_has_a_time_of_its_own(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.contexts.create_playbook("agent-9", {}, principal=ALICE)
    once = [world.trace(agent_id=AGENTS[n % 3 == 0]) for n in range(90)]
    answers = await captured(world, *once, *once[::2])
    answers += await captured(world, *once[::5], world.trace(agent_id="agent-9"))
    found = [each for each in answers if isinstance(each, Captured)]
    assert (len(found), answers.count(None)) == (91, 63), "the same trace again is none"
    for agent_id, many in zip(AGENTS, (60, 31), strict=True):
        own = {each.pending: each.trace for each in found if each.trace.agent_id == agent_id}
        assert sorted(own) == list(range(1, many + 1))
        in_order = [own[pending] for pending in sorted(own)]
        assert await stored(world, agent_id) == in_order, "the one that is counted later is later"
        assert len({trace.captured_at for trace in in_order}) == many
        assert (await world.contexts.evolution_status(agent_id)).pending_traces == many


async def test_traces_that_come_while_a_playbook_is_founded_are_counted(
    world: ContextWorld,
) -> None:
    agents = [f"agent-{n}" for n in range(8)]
    for agent_id in agents:
        await world.agents.ensure(agent_id, ALICE)
    create = world.contexts.create_playbook
    founded = asyncio.gather(*(create(agent_id, {}, principal=ALICE) for agent_id in agents))
    for _ in range(4):
        await captured(world, *(world.trace(agent_id=agent_id) for agent_id in agents))
    await founded
    for agent_id in agents:
        assert (await world.contexts.evolution_status(agent_id)).pending_traces == 4


async def test_a_trace_is_later_than_those_of_a_clock_that_is_ahead(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    ahead = world.clock.now() + timedelta(hours=1)
    await world.store.capture(world.trace(), ahead)
    await world.store.capture(world.trace(), world.clock.now())
    times = [trace.captured_at for trace in await stored(world, "agent-123")]
    assert times == [ahead, ahead + timedelta(microseconds=1)]


async def test_one_whose_agent_is_gone_is_refused_alone(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    traces = [world.trace(), world.trace(), world.trace(agent_id="gone"), world.trace()]
    found = await captured(world, *traces)
    assert [type(each) for each in found] == [Captured, Captured, UnknownAgent, Captured]
    assert (await world.contexts.evolution_status("agent-123")).pending_traces == 3


async def test_large_traces_are_read_a_few_at_a_time(
    world: ContextWorld, playbook: ContextPlaybook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 2500)
    for size in (10, 2000, 600, 10, 9000):
        await world.captured(1, error_message="\u20ac" * (size // 3), metadata={"of": size})

    first = await stored(world, "agent-123")
    assert [trace.metadata["of"] for trace in first] == [10, 2000, 600]
    assert [trace.metadata["of"] for trace in await stored(world, "agent-123", limit=2)] == [
        10,
        2000,
    ]
    second = await stored(world, "agent-123", first[-1].captured_at)
    assert [trace.metadata["of"] for trace in second] == [10, 9000]
    assert await stored(world, "agent-123", second[-1].captured_at) == []
