from __future__ import annotations

from decimal import Decimal

import pytest

from agentcore.ace.content import Draft
from agentcore.ace.errors import ExperimentRunning
from agentcore.ace.experiment import Experiment, Split
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.paired_gate import LEASE, MOST_SEED, Batch, seeds_of
from agentcore.ace.ports import Pair
from agentcore.ace.sequential import Evidence
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.clock import ManualClock
from tests.fakes.context import ContextWorld
from tests.fakes.playbooks import NOW

AGENT = "agent-123"
ERROR = "missing field 'to'"
LESSON = "Name the receiver."
CENT = Decimal("0.01")


@pytest.fixture
async def bound(world: ContextWorld, playbook: ContextPlaybook) -> ContextWorld:
    await world.bindings.bind(AGENT, "maze")
    return world


async def claimed(world: ContextWorld) -> Batch | None:
    return await world.store.run(lambda unit: world.paired.claim(unit, AGENT))


async def counted(
    world: ContextWorld, batch: Batch, champion: float, challenger: float
) -> ContextPlaybook | None:
    pairs = [Pair(champion=champion, challenger=challenger) for _ in batch.seeds]
    with world.playbooks.writing(AGENT):
        after = await world.store.run(lambda unit: world.paired.count(unit, batch, pairs, CENT))
        if after is not None:
            await world.playbooks.overtaken(after)
    return after


async def disturbed(world: ContextWorld, batch: Batch) -> None:
    await world.store.run(lambda unit: world.paired.disturbed(unit, batch, "away", CENT))


async def until_over(world: ContextWorld, champion: float, challenger: float) -> Experiment:
    while (batch := await claimed(world)) is not None:
        await counted(world, batch, champion, challenger)
        found = await world.experiments.get(AGENT, batch.experiment.experiment_id)
        if found.phase != "paired":
            return found
    raise AssertionError("nothing was decided")


async def test_what_is_proposed_waits_for_its_pairs(bound: ContextWorld) -> None:
    """Whatever the setting says of the gate: the environment is bound."""
    await bound.proposed(LESSON)
    assert await bound.lessons() == set()
    batch = await claimed(bound)
    assert batch is not None
    assert LESSON in str(batch.challenger.content)
    assert LESSON not in str(batch.champion.content)
    assert (batch.experiment.phase, batch.experiment.environment) == ("paired", "maze")
    assert len(set(batch.seeds)) == 8
    assert await claimed(bound) is None, "somebody plays it"
    shown = await bound.contexts.render(AGENT, task_id="task-1")
    assert (LESSON in shown.text, shown.stamp.experiment) == (False, "")


async def test_what_is_better_is_let_in_and_a_hold_out_goes_on_without_it(
    bound: ContextWorld,
) -> None:
    await bound.proposed(LESSON)
    found = await until_over(bound, 0.2, 0.9)
    assert (found.phase, found.stage, found.outcome) == ("watch", 100, "better")
    assert found.canary is not None
    assert found.cost_usd == Decimal("0.01") * -(-found.canary.treated.count // 8)
    assert await bound.lessons() == {LESSON}
    split = Split.of(await bound.contexts.get_playbook(AGENT))
    assert split is not None
    names = [f"task-{number}" for number in range(200)]
    held = next(name for name in names if not split.treats(AGENT, name))
    assert LESSON not in (await bound.contexts.render(AGENT, task_id=held)).text
    assert (await bound.contexts.evolution_status(AGENT)).deltas_applied == 1
    assert await claimed(bound) is None, "there is nothing more to try"


async def test_a_second_one_joins_the_hold_out_that_is_watched(bound: ContextWorld) -> None:
    await bound.proposed(LESSON, "Check the order twice.")
    await until_over(bound, 0.2, 0.9)
    second = await until_over(bound, 0.2, 0.9)
    assert (second.phase, second.outcome) == ("ended", "better")
    now = await bound.store.run(lambda unit: unit.playbooks.of(AGENT))
    assert now is not None
    split = Split.of(now)
    assert split is not None
    assert split.experiment_id != second.experiment_id
    assert await bound.lessons() == {LESSON, "Check the order twice."}
    before = split.other(now.content, version=now.version)
    assert [*Draft.of(before).bullets()] == [], "it goes on without either"


@pytest.mark.parametrize(("champion", "challenger"), [(0.9, 0.2), (0.5, 0.5)])
async def test_what_is_not_better_is_not_let_in(
    bound: ContextWorld, champion: float, challenger: float
) -> None:
    await bound.proposed(LESSON)
    version = (await bound.contexts.get_playbook(AGENT)).version
    found = await until_over(bound, champion, challenger)
    assert found.outcome == ("worse" if challenger < champion else "futile")
    assert (await bound.contexts.get_playbook(AGENT)).version == version
    assert await bound.lessons() == set()
    (entry,) = [one for one in await bound.contexts.deltas(AGENT) if one.kind == "delta"]
    assert (entry.delta.applied, entry.gate["reason"]) == (False, found.outcome)
    assert "pairs of episodes in maze" in str(entry.gate["detail"])


async def test_who_died_is_succeeded_and_what_came_late_counts_not(
    bound: ContextWorld, clock: ManualClock
) -> None:
    await bound.proposed(LESSON)
    dead = await claimed(bound)
    assert dead is not None
    clock.advance(LEASE.total_seconds() + 1)
    heir = await claimed(bound)
    assert heir is not None
    assert (heir.experiment, heir.seeds) == (dead.experiment, dead.seeds)
    await counted(bound, dead, 0.0, 1.0)
    assert (await bound.experiments.of(AGENT))[0].evidence.count == 0
    await counted(bound, heir, 0.5, 0.5)
    following = await claimed(bound)
    assert following is not None
    assert following.experiment.evidence.treated.count == 8
    assert not {*following.seeds} & {*heir.seeds}


async def test_what_was_disturbed_rests_longer_each_time(
    bound: ContextWorld, clock: ManualClock
) -> None:
    await bound.proposed(LESSON)
    for pause in (60, 120, 240):
        batch = await claimed(bound)
        assert batch is not None
        await disturbed(bound, batch)
        (told,) = await bound.experiments.of(AGENT)
        assert told.disturbed == "away"
        clock.advance(pause - 1)
        assert await claimed(bound) is None
        clock.advance(2)
    batch = await claimed(bound)
    assert batch is not None
    await bound.store.run(lambda unit: bound.paired.release(unit, batch, CENT))
    again = await claimed(bound)
    assert again is not None
    await counted(bound, again, 0.0, 1.0)
    (told,) = await bound.experiments.of(AGENT)
    assert told.disturbed == ""


async def test_an_owner_starts_one_and_stops_it(bound: ContextWorld) -> None:
    operation: JsonObject = {"op": "ADD", "section": "checks", "text": LESSON}
    await bound.taught(operation, delta_id="unsure", confidence=0.3)
    begun = await bound.experiments.start(AGENT, "unsure")
    assert (begun.phase, begun.environment) == ("paired", "maze")
    with pytest.raises(ExperimentRunning, match=begun.experiment_id):
        await bound.experiments.start(AGENT, "unsure")
    batch = await claimed(bound)
    ended = await bound.experiments.stop(AGENT, begun.experiment_id)
    assert (ended.phase, ended.outcome) == ("ended", "stopped")
    assert batch is not None
    await counted(bound, batch, 0.0, 1.0)
    assert await bound.lessons() == set()
    assert await claimed(bound) is None


async def test_without_an_environment_a_trial_ends(bound: ContextWorld) -> None:
    await bound.proposed(LESSON)
    assert await claimed(bound) is not None
    await bound.bindings.bind(AGENT, "")
    bound.clock.advance(LEASE.total_seconds() + 1)
    assert await claimed(bound) is None
    assert (await bound.experiments.of(AGENT))[0].outcome == "stopped"


async def test_what_no_longer_fits_is_a_conflict(bound: ContextWorld) -> None:
    await bound.aged(AGENT, 2)
    changing: JsonObject = {"op": "UPDATE", "id": "b1", "text": "Better."}
    await bound.taught(changing, delta_id="unsure", confidence=0.3)
    begun = await bound.experiments.start(AGENT, "unsure")
    await bound.taught({"op": "REMOVE", "id": "b1"}, delta_id="sure", confidence=1.0)
    assert await claimed(bound) is None
    assert (await bound.experiments.get(AGENT, begun.experiment_id)).outcome == "conflict"


def test_seeds_are_chosen_by_nobody_and_the_same_for_all() -> None:
    one, other = (
        Experiment(experiment_id=name, delta_id="d", evidence=Evidence.none(8), started_at=NOW)
        for name in ("e1", "e2")
    )
    assert seeds_of(one, 0, 16)[8:] == seeds_of(one, 8, 8)
    assert not {*seeds_of(one, 0, 8)} & {*seeds_of(other, 0, 8)}
    assert all(0 <= seed < MOST_SEED for seed in seeds_of(one, 0, 100))
