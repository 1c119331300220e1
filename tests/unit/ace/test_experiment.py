from __future__ import annotations

import pytest

from agentcore.ace.experiment import (
    MARK,
    STAGES,
    Experiment,
    Split,
    Step,
    outcome_of,
    share_of,
    takes_part,
    treated_by,
)
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.sequential import Evidence
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.playbooks import NOW, made_playbook

TASKS = [f"task-{number}" for number in range(2000)]


def experiment() -> Experiment:
    return Experiment(
        experiment_id="e1", delta_id="d1", evidence=Evidence.none(400), started_at=NOW
    )


def split(stage: int) -> Split:
    operation: JsonObject = {"op": "ADD", "section": "checks", "text": "Ask first."}
    return Split(experiment_id="e1", delta_id="d1", stage=stage, operations=(operation,))


def step(found: Experiment, most_outcomes: int = 10_000) -> Step:
    return found.next_step(stage_outcomes=20, most_outcomes=most_outcomes)


def shown(found: Experiment, good: float, bad: float, count: int) -> Experiment:
    """``count`` tasks with the delta, and as many without it."""
    for _ in range(count):
        found = found.observed(good, treated=True).observed(bad, treated=False)
    return found


def test_canary_stages() -> None:
    """5, 10, 25, 100 percent: each stage has to be passed, however good the start."""
    found, stages = experiment(), []
    for _ in range(4):
        stages.append(found.stage)
        found = shown(found, 1.0, 0.0, 19)
        assert step(found) == "stay"
        found = shown(found, 1.0, 0.0, 1)
        if step(found) == "widen":
            found = found.widened()
        elif step(found) == "promote":
            found = found.promoted(horizon=400)
    assert (stages, found.phase) == ([5, 10, 25, 100], "watch")
    assert [share_of(stage) for stage in stages] == [5, 10, 25, 90]


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_worse_goes_at_any_stage(stage: int) -> None:
    found = shown(experiment().model_copy(update={"stage": stage}), 0.0, 1.0, 100)
    assert step(found) == "discard"


def test_what_cannot_be_told_apart_is_given_up() -> None:
    found = shown(experiment().model_copy(update={"stage": 25}), 0.5, 0.5, 30)
    assert (step(found), step(found, most_outcomes=60)) == ("stay", "give_up")


def test_after_promotion_the_hold_out_decides() -> None:
    watched = shown(experiment(), 1.0, 0.0, 30).promoted(horizon=400)
    assert watched.canary is not None
    assert (watched.evidence.count, watched.outcome) == (0, "better")
    assert step(shown(watched, 0.0, 1.0, 150)) == "revert"
    assert step(shown(watched, 1.0, 1.0, 30), most_outcomes=60) == "keep"
    ended = watched.ended("kept", NOW)
    assert (ended.phase, ended.outcome, ended.ended_at) == ("ended", "kept", NOW)
    assert Experiment.model_validate_json(ended.model_dump_json()) == ended


def test_tasks_stay_in_their_arm_and_stages_have_their_share() -> None:
    before: set[str] = set()
    for stage in (*STAGES, 100):
        treated = {task for task in TASKS if split(stage).treats("agent-1", task)}
        assert before <= treated
        assert len(treated) / len(TASKS) == pytest.approx(share_of(stage) / 100, abs=0.03)
        before = treated
    other = {task for task in TASKS if split(25).treats("agent-2", task)}
    assert len(other & {task for task in TASKS if split(25).treats("agent-1", task)}) < 250


def test_the_playbook_as_it_is_is_the_champion_in_each_phase() -> None:
    assert [split(10).arm(treated=True), split(10).arm(treated=False)] == ["d1", "champion"]
    assert [split(100).arm(treated=True), split(100).arm(treated=False)] == ["champion", "held-out"]


def test_a_split_is_kept_with_the_playbook() -> None:
    playbook = made_playbook(version=2)
    assert Split.of(playbook) is None
    marked = playbook.model_copy(update={"metadata": {MARK: split(5).as_json()}})
    found = Split.of(marked)
    assert found == split(5)
    content = found.other({"goals": ["win"]}, version=2)
    assert "Ask first." in str(content)
    assert Split.of(playbook.model_copy(update={"metadata": {MARK: None}})) is None


def trace(**given: object) -> ExecutionTrace:
    values: dict[str, object] = {
        "trace_id": "t1",
        "agent_id": "agent-1",
        "task_id": "task-1",
        "execution_time": 1.0,
        "success": True,
        "captured_at": NOW,
    }
    return ExecutionTrace.model_validate(values | given)


def test_a_trace_counts_in_the_arm_that_its_task_was_drawn_into() -> None:
    mine = split(25)
    right = mine.arm(treated=mine.treats("agent-1", "task-1"))
    wrong = mine.arm(treated=not mine.treats("agent-1", "task-1"))

    def stamped(**given: object) -> bool | None:
        stamp = {"experiment": "e1", "stage": 25, "arm": right, **given}
        return treated_by(trace(metadata={"playbook": stamp}), mine)

    assert stamped() is mine.treats("agent-1", "task-1")
    assert stamped(arm=wrong) is None
    assert stamped(experiment="e0") is None
    assert stamped(stage=5) is None
    assert treated_by(trace(), mine) is None
    assert treated_by(trace(task_id="", metadata={"playbook": {"arm": right}}), mine) is None


def test_an_agent_takes_part_when_half_of_its_tasks_are_named() -> None:
    def told(**stamp: object) -> ExecutionTrace:
        return trace(metadata={"playbook": {"playbook_id": "p", **stamp}})

    named, unnamed, other = told(named=True), told(), told(named=True, playbook_id="q")
    assert takes_part([named, named, unnamed, other], "p")
    assert not takes_part([named, unnamed, other], "p")
    assert not takes_part([trace(task_id="", metadata=named.metadata)], "p")
    assert not takes_part([], "p")


def test_what_is_let_in_beside_a_hold_out_is_missing_there_too() -> None:
    back: JsonObject = {"op": "REMOVE", "id": "b9"}
    assert split(100).without([back]).operations[0] == back
    assert split(25).without([back]) == split(25)


def test_an_outcome_is_the_quality_where_one_was_told() -> None:
    assert [outcome_of(trace()), outcome_of(trace(success=False))] == [1.0, 0.0]
    assert outcome_of(trace(output_quality=0.25)) == 0.25
