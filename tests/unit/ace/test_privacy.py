from __future__ import annotations

from dataclasses import replace

import pytest

from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.observer import ContextObserver
from agentcore.ace.privacy import MARKED
from tests.fakes.context import ALICE, ContextWorld, ToldSpending
from tests.fakes.playbooks import made_delta

SECRETIVE = replace(ALICE, private=True)


async def evolved(world: ContextWorld) -> bool:
    """Whether the model was asked privately."""
    await world.contexts.trigger_evolution("agent-123", force=True)
    assert await world.evolution.evolve("agent-123") is not None
    return world.model.asked[-1].private


async def test_traces_of_nobody_private_may_be_shown_to_all(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(2, metadata={"private": "no"})
    assert await evolved(world) is False


async def test_one_private_trace_makes_this_and_later_evolutions_private(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.captured(1)
    await world.contexts.capture_execution_trace(
        "agent-123", world.trace(error_message="secret"), principal=SECRETIVE
    )
    assert await evolved(world) is True
    assert '"private"' not in world.model.asked[-1].prompt
    await world.captured(1)
    assert await evolved(world) is True, "its rules repeat what the private trace said"


@pytest.mark.parametrize("metadata", [{"private": True}, {"private": True, "x": float("nan")}])
async def test_a_private_callers_task_leaves_a_private_trace(
    world: ContextWorld, playbook: ContextPlaybook, metadata: dict[str, bool | float]
) -> None:
    observer = ContextObserver(world.contexts, ToldSpending(), clock=world.clock)
    outcome = TaskOutcome(
        agent_id="agent-123",
        task_id="t1",
        tenant=ALICE.tenant,
        execution_time=1.0,
        success=False,
        metadata={**metadata},
    )
    await observer.task_finished(outcome)
    assert await evolved(world) is True


async def test_what_a_private_caller_writes_makes_the_playbook_private(
    world: ContextWorld,
) -> None:
    made = await world.contexts.create_playbook(
        "agent-123", {"goals": ["win"]}, principal=SECRETIVE
    )
    # At once: whoever dies after the first transaction leaves nothing unmarked.
    assert made.metadata == MARKED
    await world.captured(1)
    assert await evolved(world) is True


async def test_a_private_change_makes_the_playbook_private(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    delta = made_delta({"goals": ["win quietly"]}, playbook_id=playbook.playbook_id)
    await world.contexts.apply_delta("agent-123", delta, principal=SECRETIVE)
    await world.captured(1)
    assert await evolved(world) is True
