from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from agentcore.a2a_protocol.models.agent import AgentStatus
from agentcore.a2a_protocol.ports import AgentEvent, LifecycleListener, TaskObserver, TaskOutcome
from agentcore.ace.models import ACEConfig, ContextPlaybook, ExecutionTrace
from agentcore.ace.observer import ContextObserver
from agentcore.ace.ports import Spent
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ALICE, ContextWorld, ToldSpending

STAMP: JsonObject = {"playbook_id": "p", "version": 1, "bullets": ["b1"]}
OUTCOME = TaskOutcome(
    agent_id="agent-123",
    task_id="task-999",
    tenant="north",
    execution_time=2.5,
    success=False,
    output_quality=0.25,
    error_message="missing field 'to'",
    tokens=420,
    cost_usd=Decimal("0.0123"),
    playbook=STAMP,
    metadata={"violations": ["missing field 'to'"]},
)


def observer(world: ContextWorld, spending: ToldSpending | None = None) -> ContextObserver:
    return ContextObserver(world.contexts, spending or ToldSpending(), clock=world.clock)


async def traces(world: ContextWorld) -> list[ExecutionTrace]:
    return await world.store.run(lambda unit: unit.traces.since("agent-123", None, limit=9))


async def test_an_ended_task_leaves_one_trace(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    told: TaskObserver = observer(world)
    await told.task_finished(OUTCOME)
    await told.task_finished(OUTCOME)
    (trace,) = await traces(world)
    assert (trace.task_id, trace.success, trace.output_quality) == ("task-999", False, 0.25)
    assert trace.metadata == {
        "violations": ["missing field 'to'"],
        "tokens": 420,
        "cost_usd": "0.0123",
        "playbook": STAMP,
    }


async def test_a_task_that_reports_rubbish_has_ended_all_the_same(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    rubbish = replace(
        OUTCOME, error_message="a\x00b", metadata={"x": "\x00"}, playbook=None, cost_usd=None
    )
    await observer(world).task_finished(rubbish)
    (trace,) = await traces(world)
    assert trace.error_message == "ab"
    assert trace.metadata == {"dropped": "the character U+0000 cannot be stored", "tokens": 420}


async def test_the_trace_of_an_agent_that_is_gone_is_dropped(world: ContextWorld) -> None:
    await observer(world).task_finished(OUTCOME)
    assert await traces(world) == []


async def test_registration_founds_a_playbook_that_the_owner_may_fill(
    world: ContextWorld,
) -> None:
    following: LifecycleListener = observer(world)
    await world.agents.ensure("agent-123", ALICE)
    event = AgentEvent(agent_id="agent-123", tenant="north", owner="alice", name="a")
    await following.agent_registered(event)
    await following.agent_registered(event)
    assert (await world.contexts.get_playbook("agent-123")).content == {}
    made = await world.contexts.create_playbook("agent-123", {"goals": ["x"]}, principal=ALICE)
    assert made.version == 1
    await following.agent_terminated(event)
    assert await world.cache.get("ace:playbook:agent-123") is None


async def test_the_ledger_knows_better_what_a_task_has_cost(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    spending = ToldSpending({"north/killed": Spent(tokens=77, cost_usd=Decimal("0.5"))})
    spending.known["north/unpriced"] = Spent(tokens=7, cost_usd=None)
    spending.known["south/elsewhere"] = Spent(tokens=9, cost_usd=None)
    for task_id in ("killed", "unpriced", "elsewhere"):
        told = replace(OUTCOME, task_id=task_id, playbook=None, metadata={})
        await observer(world, spending).task_finished(told)
    assert [trace.metadata for trace in await traces(world)] == [
        {"tokens": 77, "cost_usd": "0.5"},
        {"tokens": 7},
        {"tokens": 420, "cost_usd": "0.0123"},
    ]


async def test_agents_that_go_or_come_back_learn_from_their_last_tasks(world: ContextWorld) -> None:
    following = observer(world)
    await world.agents.ensure("agent-123", ALICE)
    event = AgentEvent(agent_id="agent-123", tenant="north", owner="alice", name="a")
    await following.agent_registered(event)
    await following.agent_terminated(event)
    assert len(world.queue) == 0, "a new agent has nothing to learn from"
    await world.captured(1)
    await following.agent_terminated(event)
    assert await world.queue.take(9, timeout=0) == ["agent-123"]
    await following.agent_registered(event)
    assert await world.queue.take(9, timeout=0) == ["agent-123"]
    await following.agent_terminated(replace(event, agent_id="unknown"))
    assert len(world.queue) == 0


async def test_an_agent_that_rests_learns_from_its_tasks(world: ContextWorld) -> None:
    following = observer(world)
    await world.agents.ensure("agent-123", ALICE)
    event = AgentEvent(agent_id="agent-123", tenant="north", owner="alice", name="a")
    await following.agent_registered(event)
    await world.captured(1)
    for after in (AgentStatus.DRAINING, AgentStatus.ACTIVE):
        await following.agent_moved(replace(event, after=after))
    assert len(world.queue) == 0
    await following.agent_moved(replace(event, after=AgentStatus.SUSPENDED))
    assert await world.queue.take(9, timeout=0) == ["agent-123"]


async def test_a_full_queue_keeps_nobody_from_leaving(world: ContextWorld) -> None:
    config = ACEConfig(ace_worker_queue_size=1)
    full = ContextWorld(world.database, world.cache, world.supervisor, world.clock, config)
    full.queue.put("somebody")
    await full.contexts.create_playbook("agent-123", {}, principal=ALICE)
    await full.captured(1)
    event = AgentEvent(agent_id="agent-123", tenant="north", owner="alice", name="a")
    await observer(full).agent_terminated(event)


async def test_a_task_that_reports_too_much_has_ended_all_the_same(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    much: JsonObject = {"x": "y" * 50_000}
    told = replace(OUTCOME, error_message="\u20ac" * 90_000, metadata=much, playbook=much)
    await observer(world).task_finished(told)
    (trace,) = await traces(world)
    assert trace.error_message == "\u20ac" * 10_000
    assert trace.metadata["dropped"] == "50008 bytes are too many"
    assert trace.metadata["playbook"] == {"dropped": "50008 bytes are too many"}
