from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from agentcore.a2a_protocol.ports import AgentEvent, LifecycleListener, TaskObserver, TaskOutcome
from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.observer import ContextObserver
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ALICE, ContextWorld

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


def observer(world: ContextWorld) -> ContextObserver:
    return ContextObserver(world.contexts, clock=world.clock)


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
