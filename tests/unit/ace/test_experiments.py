from __future__ import annotations

import pytest

from agentcore.ace.errors import (
    ExperimentNotFound,
    ExperimentOver,
    ExperimentRunning,
    NothingToTry,
    PlaybookNotFound,
)
from agentcore.ace.experiment import Split
from agentcore.ace.models import ContextPlaybook
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ALICE, MALLORY, ContextWorld

AGENT = "agent-123"


async def unsure(world: ContextWorld, text: str = "Ask first.", delta_id: str = "unsure") -> None:
    """A delta that the confidence threshold keeps out."""
    operation: JsonObject = {"op": "ADD", "section": "checks", "text": text}
    await world.taught(operation, delta_id=delta_id, confidence=0.3)


async def test_an_owner_tries_what_confidence_kept_out_and_stops_it(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await unsure(world)
    begun = await world.experiments.start(AGENT, "unsure", principal=ALICE)
    assert Split.of(await world.contexts.get_playbook(AGENT)) is not None
    with pytest.raises(ExperimentRunning, match=begun.experiment_id):
        await world.experiments.start(AGENT, "unsure", principal=ALICE)
    ended = await world.experiments.stop(AGENT, begun.experiment_id, principal=ALICE)
    assert (ended.phase, ended.outcome, ended.ended_at) == ("ended", "stopped", world.clock.now())
    assert Split.of(await world.contexts.get_playbook(AGENT)) is None
    with pytest.raises(ExperimentOver, match="stopped"):
        await world.experiments.stop(AGENT, begun.experiment_id)
    world.clock.advance(1)
    again = await world.experiments.start(AGENT, begun.delta_id)
    assert [one.experiment_id for one in await world.experiments.of(AGENT, limit=1)] == [
        again.experiment_id
    ]


async def test_only_what_is_pending_and_new_can_be_tried(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    (applied,) = await world.aged(AGENT, 2)
    taken = (await world.contexts.history(AGENT))[0].delta.delta_id
    await unsure(world, "Lesson 2.", "known")
    for delta_id, reason in (
        ("nothing", "none of this id"),
        (taken, "applied"),
        ("known", "holds it"),
    ):
        with pytest.raises(NothingToTry, match=reason):
            await world.experiments.start(AGENT, delta_id)
    assert (await world.contexts.get_playbook(AGENT)).version == applied.version


async def test_strangers_find_nothing(world: ContextWorld, playbook: ContextPlaybook) -> None:
    await unsure(world)
    begun = await world.experiments.start(AGENT, "unsure")
    with pytest.raises(PlaybookNotFound):
        await world.experiments.of(AGENT, principal=MALLORY)
    with pytest.raises(PlaybookNotFound):
        await world.experiments.start(AGENT, "unsure", principal=MALLORY)
    with pytest.raises(PlaybookNotFound):
        await world.experiments.stop(AGENT, begun.experiment_id, principal=MALLORY)
    await world.contexts.create_playbook("agent-9", {}, principal=ALICE)
    for other in (begun.experiment_id, "no-uuid", begun.delta_id):
        with pytest.raises(ExperimentNotFound):
            await world.experiments.get("agent-9", other, principal=ALICE)
    with pytest.raises(ExperimentNotFound):
        await world.experiments.get(AGENT, begun.delta_id)


async def test_experiments_go_with_their_playbook(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await unsure(world)
    await world.experiments.start(AGENT, "unsure")
    await world.contexts.delete_playbook(AGENT)
    with pytest.raises(PlaybookNotFound):
        await world.experiments.of(AGENT)
    await world.contexts.create_playbook(AGENT, {})
    assert await world.experiments.of(AGENT) == []
