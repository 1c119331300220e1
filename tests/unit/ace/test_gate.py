from __future__ import annotations

import asyncio
import itertools

import pytest

from agentcore.ace.experiment import Experiment, Split
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ContextWorld
from tests.fakes.language_model import adding, proposing

AGENT = "agent-123"
ERROR = "missing field 'to'"
LESSON = "Name the receiver."
NUMBERS = itertools.count()


@pytest.fixture
def canaries(world: ContextWorld) -> ContextWorld:
    """Proposals are tried; few outcomes are enough, so that tests are short."""
    config = ACEConfig(ace_gate="canary", ace_canary_stage_outcomes=2, ace_canary_max_outcomes=150)
    return ContextWorld(world.database, world.cache, world.supervisor, world.clock, config)


async def proposed(world: ContextWorld, *texts: str) -> Experiment:
    """An evolution proposes these lessons; the first is in trial then."""
    await world.proposed(*texts)
    return (await world.experiments.of(AGENT))[0]


async def split_of(world: ContextWorld) -> Split | None:
    return Split.of(await world.contexts.get_playbook(AGENT))


async def tasks(world: ContextWorld, *, treated: bool, count: int) -> list[str]:
    """Names of tasks that are in this arm now."""
    split = await split_of(world)
    assert split is not None
    fresh = (f"task-{next(NUMBERS)}" for _ in itertools.count())
    return list(
        itertools.islice((one for one in fresh if split.treats(AGENT, one) is treated), count)
    )


async def done(world: ContextWorld, task_id: str, *, success: bool) -> None:
    """One task, as an agent does it: render, work, tell."""
    world.clock.advance(1)
    shown = await world.contexts.render(AGENT, task_id=task_id)
    stamp: JsonObject = {"playbook": shown.stamp.as_json()}
    await world.captured(1, success=success, task_id=task_id, metadata=stamp)


async def until_over(world: ContextWorld, *, with_delta: bool, without: bool) -> Experiment:
    """Tasks of both arms in turn, until the phase of the experiment is another one."""
    first = (await world.experiments.of(AGENT))[0]
    for _ in range(120):
        for treated, success in ((True, with_delta), (False, without)):
            found = await world.experiments.get(AGENT, first.experiment_id)
            if found.phase != first.phase:
                return found
            (task,) = await tasks(world, treated=treated, count=1)
            await done(world, task, success=success)
    raise AssertionError("nothing was decided")


async def test_a_proposal_is_shown_to_its_share_and_applied_to_nobody(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    experiment = await proposed(canaries, LESSON)
    assert (experiment.phase, experiment.stage) == ("canary", 5)
    assert await canaries.lessons() == set()
    (new,) = await tasks(canaries, treated=True, count=1)
    (old,) = await tasks(canaries, treated=False, count=1)
    tried = await canaries.contexts.render(AGENT, task_id=new)
    usual = await canaries.contexts.render(AGENT, task_id=old)
    unnamed = await canaries.contexts.render(AGENT)
    assert (LESSON in tried.text, LESSON in usual.text, LESSON in unnamed.text) == (
        True,
        False,
        False,
    )
    assert tried.stamp.as_json()["arm"] == experiment.delta_id
    assert usual.stamp.as_json()["experiment"] == experiment.experiment_id
    assert "experiment" not in unnamed.stamp.as_json()
    deltas = await canaries.contexts.deltas(AGENT)
    (kept,) = (entry for entry in deltas if entry.kind == "delta")
    assert (kept.delta.applied, kept.gate["reason"]) == (False, "in_trial")


async def test_what_is_better_is_promoted_through_all_stages(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    await proposed(canaries, LESSON)
    found = await until_over(canaries, with_delta=True, without=False)
    assert (found.phase, found.stage, found.outcome) == ("watch", 100, "better")
    now = await canaries.contexts.get_playbook(AGENT)
    assert await canaries.lessons() == {LESSON}
    history = await canaries.contexts.history(AGENT, limit=200)
    told = [entry.delta.reasoning.rpartition(": ")[2] for entry in history if entry.kind == "stage"]
    assert told == ["25 percent", "10 percent", "5 percent"]
    assert (await canaries.contexts.evolution_status(AGENT)).deltas_applied == 1
    assert canaries.sample("ace_deltas_applied_total") == 1
    # Ten percent go on as before.
    (held,) = await tasks(canaries, treated=False, count=1)
    assert LESSON not in (await canaries.contexts.render(AGENT, task_id=held)).text
    assert LESSON in (await canaries.contexts.render(AGENT)).text
    assert await canaries.contexts.content_at(AGENT, now.version) == now.content


async def test_what_is_worse_is_discarded_and_the_next_one_tried(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    first = await proposed(canaries, LESSON, "Guess the receiver.")
    found = await until_over(canaries, with_delta=False, without=True)
    assert (found.phase, found.outcome) == ("ended", "worse")
    assert await canaries.lessons() == set()
    second, *_ = await canaries.experiments.of(AGENT)
    assert (second.phase, second.delta_id != first.delta_id) == ("canary", True)
    reasons = {
        entry.gate["reason"]
        for entry in await canaries.contexts.deltas(AGENT, limit=200)
        if entry.kind == "delta"
    }
    assert reasons == {"worse", "in_trial"}


async def test_what_makes_no_difference_is_given_up(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    await proposed(canaries, LESSON)
    found = await until_over(canaries, with_delta=True, without=True)
    assert (found.phase, found.outcome, found.evidence.count) == ("ended", "futile", 150)
    assert await split_of(canaries) is None


async def test_a_late_regression_is_rolled_back_and_what_came_later_stays(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    await proposed(canaries, LESSON)
    await until_over(canaries, with_delta=True, without=False)
    lesson: JsonObject = {"op": "ADD", "section": "checks", "text": "Check twice."}
    await canaries.taught(lesson, delta_id="later")
    found = await until_over(canaries, with_delta=False, without=True)
    assert (found.phase, found.outcome) == ("ended", "regressed")
    now = await canaries.contexts.get_playbook(AGENT)
    assert await canaries.lessons() == {"Check twice."}
    assert await canaries.contexts.content_at(AGENT, now.version) == now.content
    history = await canaries.contexts.history(AGENT, limit=2)
    assert [entry.kind for entry in history] == ["stage", "rollback"]
    assert await split_of(canaries) is None


async def test_a_task_counts_once_and_only_in_its_own_arm(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    experiment = await proposed(canaries, LESSON)
    (task,) = await tasks(canaries, treated=True, count=1)
    (other,) = await tasks(canaries, treated=False, count=1)
    await done(canaries, task, success=True)
    await done(canaries, task, success=True)
    shown = (await canaries.contexts.render(AGENT, task_id=task)).stamp.as_json()
    await canaries.captured(1, success=True, task_id=other, metadata={"playbook": shown})
    await canaries.captured(1, success=True, task_id="unstamped")
    found = await canaries.experiments.get(AGENT, experiment.experiment_id)
    assert (found.evidence.count, found.evidence.treated.count) == (1, 1)


async def test_replicas_that_hear_of_outcomes_at_once_decide_once(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    other = ContextWorld(
        canaries.database, canaries.cache, canaries.supervisor, canaries.clock, canaries.config
    )
    experiment = await proposed(canaries, LESSON)
    names = await tasks(canaries, treated=True, count=6)
    stamps = [(await canaries.contexts.render(AGENT, task_id=name)).stamp for name in names]
    await asyncio.gather(
        *(
            (canaries, other)[number % 2].captured(
                1, success=True, task_id=name, metadata={"playbook": stamp.as_json()}
            )
            for number, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        )
    )
    found = await other.experiments.get(AGENT, experiment.experiment_id)
    # The second outcome ended the stage; those that were shown the old one count no more.
    assert (found.stage, found.seen, found.evidence.count) == (10, 0, 2)
    history = await canaries.contexts.history(AGENT)
    assert [entry.kind for entry in history].count("stage") == 2


async def test_what_no_longer_fits_is_not_tried(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    """The owner removes the bullet that the challenger would change."""
    await canaries.aged(AGENT, 2)
    changing: JsonObject = {"op": "UPDATE", "id": "b1", "text": "Better."}
    removing: JsonObject = {"op": "REMOVE", "id": "b1"}
    for delta_id, operation, confidence in (("unsure", changing, 0.1), ("sure", removing, 1.0)):
        if delta_id == "sure":
            await canaries.experiments.start(AGENT, "unsure")
        await canaries.taught(operation, delta_id=delta_id, confidence=confidence)
    (task,) = await tasks(canaries, treated=True, count=1)
    shown = await canaries.contexts.render(AGENT, task_id=task)
    assert (shown.stamp.arm, shown.stamp.experiment) == ("champion", "")
    (task,) = await tasks(canaries, treated=False, count=1)
    await done(canaries, task, success=True)
    found = (await canaries.experiments.of(AGENT))[0]
    assert (found.phase, found.outcome, found.evidence.count) == ("ended", "conflict", 0)


async def test_whoever_names_its_tasks_gets_a_canary_without_being_told(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    shown = (await world.contexts.render(AGENT, task_id="task-1")).stamp.as_json()
    await world.captured(5, error_message=ERROR, metadata={"playbook": shown})
    await world.captured(5, error_message=ERROR)
    world.model.answers = [proposing(adding(LESSON, quote=ERROR))]
    await world.evolution.evolve(AGENT)
    assert await world.lessons() == set()
    assert (await world.experiments.of(AGENT))[0].phase == "canary"


async def test_what_waits_already_is_not_proposed_again_and_the_line_is_bounded(
    canaries: ContextWorld, playbook: ContextPlaybook
) -> None:
    config = canaries.config.model_copy(update={"ace_max_candidates": 2})
    short = ContextWorld(
        canaries.database, canaries.cache, canaries.supervisor, canaries.clock, config
    )
    await proposed(short, "In trial.")
    await proposed(short, "In trial.", "First.", "Second.", "Third.")
    await proposed(short, "first", "Fourth.")
    became = [
        entry.gate["reason"]
        for entry in await short.contexts.deltas(AGENT, limit=200)
        if entry.kind == "delta"
    ]
    assert sorted(map(str, became)) == [
        "candidate",
        "candidate",
        "in_trial",
        "line_full",
        "line_full",
        "repeated",
        "repeated",
    ]
