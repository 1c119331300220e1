"""Experiments as owners see and steer them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentcore.ace.changes import operations_of
from agentcore.ace.errors import (
    ExperimentNotFound,
    ExperimentOver,
    ExperimentRunning,
    NothingToTry,
    PlaybookNotFound,
)
from agentcore.ace.experiment import PROMOTED, Experiment, Split
from agentcore.ace.gate import Gate, experiment_in, running
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.paired_gate import PairedGate
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import AgentDirectory
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.trial_mark import TrialMark
from agentcore.ace.visibility import sees
from agentcore.kit.ids import parsed_uuid, stable_uuid
from agentcore.kit.security import Principal


class Experiments:
    """Each method takes the ``principal`` it acts for; what is another tenant's does not exist."""

    def __init__(
        self,
        store: ContextStore,
        cache: PlaybookCache,
        agents: AgentDirectory,
        gate: Gate,
        paired: PairedGate,
        *,
        wake: Callable[[], None],
    ) -> None:
        """``wake`` tells whoever plays trials that there is one to play."""
        self._store = store
        self._cache = cache
        self._agents = agents
        self._gate = gate
        self._paired = paired
        self._wake = wake

    async def of(
        self,
        agent_id: str,
        *,
        after: str | None = None,
        limit: int = 50,
        principal: Principal | None = None,
    ) -> list[Experiment]:
        """Newest first, behind the experiment ``after``."""
        await self._check(agent_id, principal)

        async def work(unit: Unit) -> list[Experiment]:
            playbook = await _found(unit, agent_id)
            entries = await unit.deltas.page(
                playbook.playbook_id, after=after, limit=limit, kind="experiment"
            )
            return [experiment_in(entry) for entry in entries]

        return await self._store.run(work)

    async def get(
        self, agent_id: str, experiment_id: str, *, principal: Principal | None = None
    ) -> Experiment:
        await self._check(agent_id, principal)
        return await self._store.run(
            lambda unit: self._one(unit, agent_id, experiment_id, lock=False)
        )

    async def start(
        self, agent_id: str, delta_id: str, *, principal: Principal | None = None
    ) -> Experiment:
        """Try a delta that was kept and not applied, whatever kept it.

        Raises:
            ExperimentRunning: another one is tried.
            NothingToTry: there is no such delta, or nothing in it that the playbook lacks.
        """
        await self._check(agent_id, principal)

        async def work(unit: Unit) -> tuple[ContextPlaybook, Experiment]:
            playbook = await _found(unit, agent_id, lock=True)
            bound = bool(self._gate.environment_of(playbook))
            _check_free(playbook, bound=bound)
            own = stable_uuid(delta_id, within=playbook.playbook_id)
            entry = await unit.deltas.get(str(own))
            if entry is None or entry.delta.playbook_id != playbook.playbook_id:
                raise NothingToTry(delta_id, "there is none of this id")
            if entry.kind != "delta" or entry.delta.applied:
                raise NothingToTry(delta_id, "it is applied")
            operations = entry.operations or operations_of(entry.delta.changes, playbook.content)
            candidate = replace(entry, operations=tuple(operations))
            if bound:
                after, begun = playbook, await self._paired.begin(unit, playbook, candidate)
            else:
                after = await self._gate.start(unit, playbook, candidate)
                trial = await running(unit, after)
                begun = None if trial is None else trial.experiment
            if begun is None:
                raise NothingToTry(delta_id, "the playbook holds it, or no longer what it changes")
            return after, begun

        with self._cache.writing(agent_id):
            playbook, experiment = await self._store.run(work)
            await self._cache.overtaken(playbook)
        self._wake()
        return experiment

    async def stop(
        self, agent_id: str, experiment_id: str, *, principal: Principal | None = None
    ) -> Experiment:
        """End it: the playbook stays as it is, and all tasks see it so.

        Raises:
            ExperimentOver: it has ended before.
        """
        await self._check(agent_id, principal)

        async def work(unit: Unit) -> tuple[ContextPlaybook, Experiment]:
            experiment = await self._one(unit, agent_id, experiment_id, lock=True)
            playbook = await _found(unit, agent_id)
            mark = TrialMark.of(playbook)
            if mark is not None and mark.experiment == experiment.experiment_id:
                return playbook, await self._paired.end(unit, playbook, experiment, "stopped")
            trial = await running(unit, playbook)
            if trial is None or trial.experiment.experiment_id != experiment.experiment_id:
                raise ExperimentOver(experiment_id, str(experiment.outcome))
            after = await self._gate.stop(unit, trial)
            return after, await self._one(unit, agent_id, experiment_id, lock=True)

        with self._cache.writing(agent_id):
            playbook, stopped = await self._store.run(work)
            await self._cache.overtaken(playbook)
        return stopped

    async def _one(
        self, unit: Unit, agent_id: str, experiment_id: str, *, lock: bool
    ) -> Experiment:
        playbook = await _found(unit, agent_id, lock=lock)
        entry = await unit.deltas.get(experiment_id) if parsed_uuid(experiment_id) else None
        ours = entry is not None and entry.delta.playbook_id == playbook.playbook_id
        if entry is None or not ours or entry.kind != "experiment":
            raise ExperimentNotFound(agent_id, experiment_id)
        return experiment_in(entry)

    async def _check(self, agent_id: str, principal: Principal | None) -> None:
        owner = await self._agents.owner(agent_id)
        if owner is None or not sees(principal, agent_id, tenant=owner.tenant):
            raise PlaybookNotFound(agent_id)


def _check_free(playbook: ContextPlaybook, *, bound: bool) -> None:
    """One delta is tried at a time; a hold-out of what was promoted is no trial of pairs."""
    split, mark = Split.of(playbook), TrialMark.of(playbook)
    if mark is not None and mark.experiment is not None:
        raise ExperimentRunning(playbook.agent_id, mark.experiment)
    if split is not None and not (bound and split.stage == PROMOTED):
        raise ExperimentRunning(playbook.agent_id, split.experiment_id)


async def _found(unit: Unit, agent_id: str, *, lock: bool = False) -> ContextPlaybook:
    playbook = await unit.playbooks.of(agent_id, lock=lock)
    if playbook is None:
        raise PlaybookNotFound(agent_id)
    return playbook
