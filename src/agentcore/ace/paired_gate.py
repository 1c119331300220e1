"""Trials in an environment, batch by batch: who plays what, what came of it, and what follows.

A batch is claimed in one transaction, played outside of any, and counted in another one. What was
counted stays counted, whoever dies; what was played and not counted is played again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from agentcore.ace.errors import InvalidOperation, PlaybookTooLarge
from agentcore.ace.experiment import Experiment, Outcome
from agentcore.ace.gate import Gate, experiment_in, judged, kept, oldest_candidate
from agentcore.ace.journal import Entry, Provenance
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.ops import apply
from agentcore.ace.paired import BATCH, decided
from agentcore.ace.ports import Pair
from agentcore.ace.sequential import Evidence
from agentcore.ace.store import Unit
from agentcore.ace.trial_mark import TRIAL, TrialMark
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids

# Who plays says so every quarter of it.
LEASE = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)
MOST_SEED = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The right to play these seeds, and with what."""

    token: str
    champion: ContextPlaybook
    challenger: ContextPlaybook
    experiment: Experiment
    provenance: Provenance
    seeds: tuple[int, ...]


class PairedGate:
    """Everything it does is part of the unit that it is given."""

    def __init__(self, config: ACEConfig, gate: Gate, *, clock: Clock, ids: Ids) -> None:
        self._pairs = config.ace_trial_pairs
        self._rest = timedelta(seconds=config.ace_cb_recovery_timeout)
        self._gate = gate
        self._clock = clock
        self._ids = ids

    async def begin(
        self, unit: Unit, playbook: ContextPlaybook, candidate: Entry
    ) -> Experiment | None:
        """Try ``candidate`` next; None where it no longer fits the playbook.

        Hold the playbook's lock; nothing else may be in trial.
        """
        fitting = await self._gate.fitting(unit, playbook, candidate)
        if fitting is None:
            return None
        now = self._clock.now()
        experiment = Experiment(
            experiment_id=str(self._ids.new()),
            delta_id=fitting.delta.delta_id,
            phase="paired",
            stage=0,
            evidence=Evidence.none(self._pairs),
            environment=self._gate.environment_of(playbook),
            started_at=now,
        )
        await self._gate.note(unit, playbook, experiment, fitting)
        mark = TrialMark(requested_at=now, experiment=experiment.experiment_id)
        await unit.playbooks.annotate(playbook, **{TRIAL: mark.as_json()})
        return experiment

    async def left(self, unit: Unit, agent_id: str) -> str | None:
        """The token of a batch that nobody plays any more: its process died with it."""
        playbook = await unit.playbooks.of(agent_id)
        mark = None if playbook is None else TrialMark.of(playbook)
        return None if mark is None or self._taken(mark) else mark.claim

    async def claim(self, unit: Unit, agent_id: str) -> Batch | None:
        """The next batch of the agent's trial; None where there is none, or somebody plays it."""
        playbook = await unit.playbooks.of(agent_id, lock=True)
        mark = None if playbook is None else TrialMark.of(playbook)
        if playbook is None or mark is None or self._taken(mark):
            return None
        found = await self._experiment(unit, playbook, mark)
        if found is None:
            await unit.playbooks.annotate(playbook, **{TRIAL: None})
            return None
        candidate = await self._candidate(unit, found)
        try:
            version = playbook.version + 1
            content = apply(playbook.content, candidate.operations, version=version).content
        except InvalidOperation:
            await self.end(unit, playbook, found, "conflict")
            return None
        mark = TrialMark(
            requested_at=mark.requested_at,
            experiment=found.experiment_id,
            claim=str(self._ids.new()),
            claimed_at=self._clock.now(),
            failures=mark.failures,
        )
        await unit.playbooks.annotate(playbook, **{TRIAL: mark.as_json()})
        played = found.evidence.treated.count
        return Batch(
            token=str(mark.claim),
            champion=playbook,
            challenger=playbook.model_copy(update={"content": content}),
            experiment=found,
            provenance=candidate.provenance,
            seeds=seeds_of(found, played, min(BATCH, self._pairs - played)),
        )

    async def count(
        self, unit: Unit, batch: Batch, pairs: Sequence[Pair], cost: Decimal
    ) -> ContextPlaybook | None:
        """What the batch came to, and what follows; the playbook where it has a new version."""
        held = await self._held(unit, batch)
        if held is None:
            return None
        playbook, mark, experiment = held
        evidence = experiment.evidence
        for pair in pairs:
            evidence = evidence.paired(pair.challenger, pair.champion)
        known = {"evidence": evidence, "disturbed": ""}
        experiment = _charged(experiment, cost).model_copy(update=known)
        outcome = decided(evidence, self._pairs - evidence.treated.count)
        if outcome is None:
            await unit.deltas.replace(kept(experiment, playbook))
            await self._noted(unit, playbook, mark.model_copy(update={"failures": 0}))
            return None
        if outcome != "better":
            await self.end(unit, playbook, experiment, outcome)
            return None
        try:
            after = await self._gate.promote(unit, playbook, experiment)
        except PlaybookTooLarge:
            await self.end(unit, playbook, experiment, "conflict")
            return None
        await self._next(unit, after)
        return after

    async def renew(self, unit: Unit, batch: Batch) -> bool:
        """It is still played; False where it was stopped or taken over meanwhile."""
        held = await self._held(unit, batch)
        if held is None:
            return False
        playbook, mark, _ = held
        later = mark.model_copy(update={"claimed_at": self._clock.now()})
        await unit.playbooks.annotate(playbook, **{TRIAL: later.as_json()})
        return True

    async def disturbed(self, unit: Unit, batch: Batch, error: str, cost: Decimal) -> None:
        """The batch could not be played: later again, and ever later."""
        held = await self._held(unit, batch)
        if held is None:
            return
        playbook, mark, experiment = held
        told = _charged(experiment, cost).model_copy(update={"disturbed": error})
        await unit.deltas.replace(kept(told, playbook))
        longer = min(self._rest * 2 ** min(mark.failures, 20), max(self._rest, LONGEST_REST))
        resting = {"failures": mark.failures + 1, "resting_until": self._clock.now() + longer}
        await self._noted(unit, playbook, mark.model_copy(update={**resting, "error": error}))

    async def release(self, unit: Unit, batch: Batch, cost: Decimal) -> None:
        """The batch was not played, for no fault of anything: it is due at once."""
        if (held := await self._held(unit, batch)) is not None:
            playbook, mark, experiment = held
            await unit.deltas.replace(kept(_charged(experiment, cost), playbook))
            await self._noted(unit, playbook, mark)

    async def end(
        self, unit: Unit, playbook: ContextPlaybook, experiment: Experiment, outcome: Outcome
    ) -> Experiment:
        """Nobody but the trial has seen the delta: no version says that it is over."""
        candidate = await self._candidate(unit, experiment)
        played = experiment.evidence.treated.count
        told = f"decided by {played} pairs of episodes in {experiment.environment}"
        await unit.deltas.replace(judged(candidate, outcome, told))
        ended = experiment.ended(outcome, self._clock.now())
        await unit.deltas.replace(kept(ended, playbook))
        await self._next(unit, playbook)
        return ended

    async def _next(self, unit: Unit, playbook: ContextPlaybook) -> None:
        mark = TrialMark(requested_at=self._clock.now())
        await unit.playbooks.annotate(playbook, **{TRIAL: mark.as_json()})

    async def _noted(self, unit: Unit, playbook: ContextPlaybook, mark: TrialMark) -> None:
        free = mark.model_copy(update={"claim": None, "claimed_at": None})
        await unit.playbooks.annotate(playbook, **{TRIAL: free.as_json()})

    async def _experiment(
        self, unit: Unit, playbook: ContextPlaybook, mark: TrialMark
    ) -> Experiment | None:
        """The one that has begun, or a new one about the oldest candidate; None without any."""
        entry = None if mark.experiment is None else await unit.deltas.get(mark.experiment)
        if entry is not None and self._gate.environment_of(playbook):
            return experiment_in(entry)
        if entry is not None:
            await self.end(unit, playbook, experiment_in(entry), "stopped")
        while self._gate.environment_of(playbook):
            candidate = await oldest_candidate(unit, playbook)
            if candidate is None:
                return None
            if (begun := await self.begin(unit, playbook, candidate)) is not None:
                return begun
        return None

    async def _held(
        self, unit: Unit, batch: Batch
    ) -> tuple[ContextPlaybook, TrialMark, Experiment] | None:
        """What the batch belongs to; None where it was stopped or taken over meanwhile."""
        playbook = await unit.playbooks.of(batch.champion.agent_id, lock=True)
        mark = None if playbook is None else TrialMark.of(playbook)
        if playbook is None or mark is None or mark.claim != batch.token:
            return None
        entry = await unit.deltas.get(batch.experiment.experiment_id)
        return None if entry is None else (playbook, mark, experiment_in(entry))

    async def _candidate(self, unit: Unit, experiment: Experiment) -> Entry:
        found = await unit.deltas.get(experiment.delta_id)
        if found is None:
            raise AssertionError(f"unreachable: deltas stay with their playbook, {experiment}")
        return found

    def _taken(self, mark: TrialMark) -> bool:
        now = self._clock.now()
        claimed = mark.claimed_at is not None and now - mark.claimed_at < LEASE
        return claimed or (mark.resting_until is not None and now < mark.resting_until)


def _charged(experiment: Experiment, cost: Decimal) -> Experiment:
    return experiment.model_copy(update={"cost_usd": experiment.cost_usd + cost})


def seeds_of(experiment: Experiment, first: int, count: int) -> tuple[int, ...]:
    """Seeds that nobody has chosen, the same whoever plays them."""
    return tuple(
        int.from_bytes(hashlib.sha256(f"{experiment.experiment_id} {n}".encode()).digest()[:8])
        % MOST_SEED
        for n in range(first, first + count)
    )
