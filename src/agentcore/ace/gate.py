"""The gate: challengers are tried beside the champion, promoted or taken back, by what they did.

Everything happens in the transaction that stores an outcome, under the lock of the playbook's row:
an outcome counts exactly if its trace is stored, and of several replicas one decides. Each change
of who sees what is a version of the playbook, so that no cache can show what is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from agentcore.ace.binding import environment_of
from agentcore.ace.difference import between
from agentcore.ace.errors import InvalidOperation, PlaybookTooLarge
from agentcore.ace.experiment import (
    MARK,
    PROMOTED,
    Experiment,
    Outcome,
    Split,
    Step,
    outcome_of,
    takes_part,
    treated_by,
)
from agentcore.ace.journal import Entry, Kind, advance
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import Operation, Tag, apply, without_duplicates
from agentcore.ace.sequential import Evidence
from agentcore.ace.simple_curator import SimpleCurator
from agentcore.ace.store import Unit
from agentcore.ace.trial_mark import TRIAL, TrialMark
from agentcore.ace.waiting_line import CANDIDATE, IN_TRIAL, WAITING, WaitingLine
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject

REASONS: dict[Step, Outcome] = {"discard": "worse", "give_up": "futile", "keep": "kept"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A running experiment as it stands in the database."""

    playbook: ContextPlaybook
    split: Split
    experiment: Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What an outcome led to; ``promoted``: the delta that was tried is applied by it."""

    playbook: ContextPlaybook
    promoted: bool


class Gate:
    """Everything it does is part of the unit that it is given."""

    def __init__(self, config: ACEConfig, *, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._clock = clock
        self._ids = ids

    def tries(self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]) -> bool:
        """Whether what was proposed after ``traces`` is tried before it is applied."""
        if self.environment_of(playbook) or self._config.ace_gate == "canary":
            return True
        return self._config.ace_gate == "auto" and takes_part(traces, playbook.playbook_id)

    def environment_of(self, playbook: ContextPlaybook) -> str:
        return environment_of(playbook, self._config.ace_environments)

    async def line(self, unit: Unit, playbook: ContextPlaybook) -> WaitingLine:
        found = await unit.deltas.decided(playbook.playbook_id, *WAITING)
        return WaitingLine(found, most=self._config.ace_max_candidates)

    async def start_next(self, unit: Unit, playbook: ContextPlaybook) -> ContextPlaybook:
        """Try the oldest candidate, if there is one and nothing else is tried."""
        bound = bool(self.environment_of(playbook))
        while bound or Split.of(playbook) is None:
            candidate = await oldest_candidate(unit, playbook)
            if candidate is None:
                return playbook
            if bound:
                await self.request_trial(unit, playbook)
                return playbook
            playbook = await self.start(unit, playbook, candidate)
        return playbook

    async def start(
        self, unit: Unit, playbook: ContextPlaybook, candidate: Entry
    ) -> ContextPlaybook:
        """Try ``candidate``; where it no longer fits the playbook, it is decided about at once.

        Hold the playbook's lock; nothing else may be in trial.
        """
        fitting = await self.fitting(unit, playbook, candidate)
        if fitting is None:
            return playbook
        candidate = fitting
        horizon = self._config.ace_canary_max_outcomes
        experiment = Experiment(
            experiment_id=str(self._ids.new()),
            delta_id=candidate.delta.delta_id,
            evidence=Evidence.none(horizon),
            started_at=self._clock.now(),
        )
        await self.note(unit, playbook, experiment, candidate)
        split = Split(
            experiment_id=experiment.experiment_id,
            delta_id=experiment.delta_id,
            stage=experiment.stage,
            operations=tuple(operation.as_json() for operation in candidate.operations),
        )
        return await self._staged(unit, playbook, experiment, split, f"{experiment.stage} percent")

    async def fitting(
        self, unit: Unit, playbook: ContextPlaybook, candidate: Entry
    ) -> Entry | None:
        """The candidate as it would be applied now; None where that decides about it."""
        operations = without_duplicates(playbook.content, candidate.operations)
        if all(isinstance(operation, Tag) for operation in operations):
            await unit.deltas.replace(judged(candidate, "duplicate", "known by now"))
            return None
        try:
            apply(playbook.content, operations, version=playbook.version)
        except InvalidOperation as exc:
            await unit.deltas.replace(judged(candidate, "conflict", exc.detail))
            return None
        return replace(candidate, operations=operations)

    async def note(
        self, unit: Unit, playbook: ContextPlaybook, experiment: Experiment, candidate: Entry
    ) -> None:
        """Put a new experiment about ``candidate`` on record."""
        await unit.deltas.insert(kept(experiment, playbook))
        await unit.deltas.replace(judged(candidate, IN_TRIAL, experiment.experiment_id))

    async def request_trial(self, unit: Unit, playbook: ContextPlaybook) -> None:
        """Let the playbook's candidates play in its environment, as soon as somebody can."""
        mark = TrialMark.of(playbook) or TrialMark(requested_at=self._clock.now())
        await unit.playbooks.annotate(playbook, **{TRIAL: mark.as_json()})

    async def learn(self, unit: Unit, trace: ExecutionTrace) -> Decided | None:
        """Count the outcome of a trace that this unit has stored, and do what follows.

        None where the playbook has no new version. A task counts once, by its first trace.
        """
        playbook = await unit.playbooks.of(trace.agent_id, lock=True)
        trial = None if playbook is None else await running(unit, playbook)
        if trial is None:
            return None
        treated = treated_by(trace, trial.split)
        if treated is None:
            return None
        if not _fits(trial):
            after = await self._ended(unit, trial, "conflict")
            return Decided(playbook=after, promoted=False)
        if await unit.traces.met_before(trace, since=trial.experiment.started_at):
            return None
        experiment = trial.experiment.observed(outcome_of(trace), treated=treated)
        await unit.deltas.replace(kept(experiment, trial.playbook))
        step = experiment.next_step(
            stage_outcomes=self._config.ace_canary_stage_outcomes,
            most_outcomes=self._config.ace_canary_max_outcomes,
        )
        decided = await self._act(unit, replace(trial, experiment=experiment), step)
        if decided is None:
            return None
        split = Split.of(decided)
        widest = split is not None and split.stage == PROMOTED
        return Decided(playbook=decided, promoted=widest and trial.split.stage != PROMOTED)

    async def stop(self, unit: Unit, trial: Trial) -> ContextPlaybook:
        """End it where it stands, as the owner wishes: nothing changes but who sees what."""
        return await self._ended(unit, trial, "stopped")

    async def _act(self, unit: Unit, trial: Trial, step: Step) -> ContextPlaybook | None:
        match step:
            case "stay":
                return None
            case "widen":
                wider = trial.experiment.widened()
                split = trial.split.model_copy(update={"stage": wider.stage})
                told = f"{wider.stage} percent"
                return await self._staged(unit, trial.playbook, wider, split, told)
            case "promote":
                try:
                    return await self._promoted(unit, trial)
                except PlaybookTooLarge:
                    return await self._ended(unit, trial, "conflict")
            case "revert":
                return await self._reverted(unit, trial)
            case _:
                return await self._ended(unit, trial, REASONS[step])

    async def promote(
        self, unit: Unit, playbook: ContextPlaybook, experiment: Experiment
    ) -> ContextPlaybook:
        """What pairs of episodes found better. A hold-out that there is goes on without it, too.

        Raises:
            PlaybookTooLarge: it would outgrow its bound; nothing has changed.
        """
        running = Split.of(playbook)
        split = Split(
            experiment_id=experiment.experiment_id,
            delta_id=experiment.delta_id,
            stage=PROMOTED,
            operations=(),
        )
        trial = Trial(playbook=playbook, split=split, experiment=experiment)
        return await self._promoted(unit, trial, "better in pairs of episodes", beside=running)

    async def _promoted(
        self,
        unit: Unit,
        trial: Trial,
        told: str = "better in its canary",
        *,
        beside: Split | None = None,
    ) -> ContextPlaybook:
        candidate = await _candidate(unit, trial)
        after, entry = advance(
            trial.playbook,
            candidate.delta,
            candidate.operations,
            now=self._clock.now(),
            provenance=candidate.provenance,
            gate={**candidate.gate, "reason": "accepted", "detail": told},
        )
        await unit.deltas.replace(entry)
        back = tuple(operation.as_json() for operation in entry.inverse)
        if beside is None:
            watched = trial.experiment.promoted(horizon=self._config.ace_canary_max_outcomes)
            split = trial.split.model_copy(update={"stage": watched.stage, "operations": back})
        else:
            watched = trial.experiment.ended("better", self._clock.now())
            split = beside.without(back)
        await unit.status.count_applied(after.agent_id)
        return await self._published(unit, trial.playbook, after, watched, split)

    async def _reverted(self, unit: Unit, trial: Trial) -> ContextPlaybook:
        """Without the delta again, as a new version; what came after it stays."""
        playbook = trial.playbook
        without = trial.split.other(playbook.content, version=playbook.version)
        back = between(playbook.content, without)
        after = await self._entered(unit, playbook, back, "rollback", "worse than the hold-out")
        return await self._ended(unit, replace(trial, playbook=after), "regressed")

    async def _ended(self, unit: Unit, trial: Trial, outcome: Outcome) -> ContextPlaybook:
        ended = trial.experiment.ended(outcome, self._clock.now())
        if trial.experiment.phase != "watch":
            candidate = await _candidate(unit, trial)
            await unit.deltas.replace(judged(candidate, outcome, "decided by its canary"))
        after = await self._staged(unit, trial.playbook, ended, None, outcome)
        return await self.start_next(unit, after)

    async def _staged(
        self,
        unit: Unit,
        playbook: ContextPlaybook,
        experiment: Experiment,
        split: Split | None,
        told: str,
    ) -> ContextPlaybook:
        """A version that differs in who sees what, and in nothing else."""
        reason = f"experiment {experiment.experiment_id}: {told}"
        after = await self._entered(unit, playbook, (), "stage", reason)
        return await self._published(unit, after, after, experiment, split)

    async def _entered(
        self,
        unit: Unit,
        playbook: ContextPlaybook,
        operations: Sequence[Operation],
        kind: Kind,
        reasoning: str,
    ) -> ContextPlaybook:
        now = self._clock.now()
        delta = ContextDelta(
            delta_id=str(self._ids.new()),
            playbook_id=playbook.playbook_id,
            changes={"ops": [operation.as_json() for operation in operations]},
            confidence=1.0,
            reasoning=reasoning,
            generated_at=now,
        )
        after, entry = advance(playbook, delta, operations, now=now, kind=kind)
        await unit.deltas.insert(entry)
        await unit.playbooks.advance(after, expected=playbook.version)
        await unit.deltas.keep_snapshot(playbook, after)
        return after

    async def _published(
        self,
        unit: Unit,
        before: ContextPlaybook,
        after: ContextPlaybook,
        experiment: Experiment,
        split: Split | None,
    ) -> ContextPlaybook:
        if after.version != before.version:
            await unit.playbooks.advance(after, expected=before.version)
            await unit.deltas.keep_snapshot(before, after)
        noted: JsonValue = None if split is None else split.as_json()
        await unit.playbooks.annotate(after, **{MARK: noted})
        await unit.deltas.replace(kept(experiment, after))
        return after.model_copy(update={"metadata": {**after.metadata, MARK: noted}})


async def oldest_candidate(unit: Unit, playbook: ContextPlaybook) -> Entry | None:
    return next(iter(await unit.deltas.decided(playbook.playbook_id, CANDIDATE, limit=1)), None)


async def running(unit: Unit, playbook: ContextPlaybook) -> Trial | None:
    split = Split.of(playbook)
    entry = None if split is None else await unit.deltas.get(split.experiment_id)
    if split is None or entry is None:
        return None
    return Trial(playbook=playbook, split=split, experiment=experiment_in(entry))


def experiment_in(entry: Entry) -> Experiment:
    return Experiment.model_validate(entry.delta.changes)


async def _candidate(unit: Unit, trial: Trial) -> Entry:
    found = await unit.deltas.get(trial.split.delta_id)
    if found is None:
        raise AssertionError(f"unreachable: deltas go with their playbook, {trial.split} does not")
    return found


def _fits(trial: Trial) -> bool:
    """Whether the other arm can still be shown: the owner may have changed what it changes."""
    try:
        trial.split.other(trial.playbook.content, version=trial.playbook.version)
    except InvalidOperation:
        return False
    return True


def kept(experiment: Experiment, playbook: ContextPlaybook) -> Entry:
    known: JsonObject = experiment.model_dump(mode="json")
    delta = ContextDelta(
        delta_id=experiment.experiment_id,
        playbook_id=playbook.playbook_id,
        changes=known,
        confidence=1.0,
        reasoning=f"trial of delta {experiment.delta_id}",
        generated_at=experiment.started_at,
    )
    return Entry(delta=delta, kind="experiment", base_version=playbook.version)


def judged(candidate: Entry, reason: str, detail: str) -> Entry:
    return replace(candidate, gate={**candidate.gate, "reason": reason, "detail": detail})


@dataclass(frozen=True, slots=True)
class Admission:
    """What a proposed delta has to pass: the curator, and the gate where that tries proposals."""

    curator: SimpleCurator
    gate: Gate
