"""One evolution of one agent's playbook: claim, ask the model, judge, apply.

Claim and result are short transactions, and the model is called between them. Until the result is
committed nothing has happened, so an evolution that dies is simply done again; what is committed
names the last trace it used, so no trace is used twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import structlog
from pydantic import BaseModel, ConfigDict

from agentcore.ace.calibration import Calibration, outcomes
from agentcore.ace.content import Draft
from agentcore.ace.counters import MOST_BEHIND, Texts, about_bullets, folded, texts_at, version_of
from agentcore.ace.delta_generator import DeltaGenerator, Generation
from agentcore.ace.errors import EvolutionClaimLost, EvolutionRateLimited
from agentcore.ace.gate import Admission
from agentcore.ace.journal import Entry, advance, pending, seed
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import (
    ACEConfig,
    ContextDelta,
    ContextPlaybook,
    EvolutionState,
    EvolutionStatus,
    ExecutionTrace,
)
from agentcore.ace.ops import parse_operations
from agentcore.ace.paid_model import CALL_SECONDS, MOST_CALLS
from agentcore.ace.patience import patiently
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.privacy import MARKED, is_private
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.waiting_line import WaitingLine
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject

MOST_TRACES = 1000
# Longer than any evolution that is still alive: calls, transactions and their retries.
LEASE = timedelta(seconds=MOST_CALLS * CALL_SECONDS + 60)
LONGEST_REST = timedelta(hours=1)
MARK = "evolution"
# Outcomes that tell how far a model's confidence goes; older ones may be another model's.
REMEMBERED = timedelta(days=90)
MOST_OUTCOMES = 200

T = TypeVar("T")

log = structlog.get_logger()


class EvolutionMark(BaseModel):
    """What ``context_playbooks.metadata`` remembers: a request, a claim, the last failure."""

    model_config = ConfigDict(frozen=True)

    requested_at: datetime | None = None
    force: bool = False
    claim: str | None = None
    claimed_at: datetime | None = None
    failed_at: datetime | None = None
    failures: int = 0
    resting_until: datetime | None = None
    error: str | None = None

    @classmethod
    def of(cls, playbook: ContextPlaybook) -> EvolutionMark:
        return cls.model_validate(playbook.metadata.get(MARK, {}))

    def failed(self, error: str, now: datetime, rest: timedelta) -> EvolutionMark:
        """Once more: what fails again and again is tried less and less often."""
        longer = min(rest * 2 ** min(self.failures, 20), max(rest, LONGEST_REST))
        return self.model_copy(
            update={
                "failed_at": now,
                "failures": self.failures + 1,
                "resting_until": now + longer,
                "error": error,
            }
        )

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json", exclude_none=True)
        return dumped


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to evolve one agent; ``traces`` are what is new, oldest first."""

    token: str
    playbook: ContextPlaybook
    traces: tuple[ExecutionTrace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """``playbook`` is the result; ``more``: enough traces are left for another evolution."""

    playbook: ContextPlaybook
    generated: int
    applied: int
    more: bool


class Evolution:
    def __init__(
        self,
        config: ACEConfig,
        store: ContextStore,
        generator: DeltaGenerator,
        admission: Admission,
        *,
        cache: PlaybookCache,
        clock: Clock,
        ids: Ids,
        metrics: ACEMetrics,
    ) -> None:
        self._config = config
        self._store = store
        self._generator = generator
        self._curator = admission.curator
        self._gate = admission.gate
        self._cache = cache
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._rest = timedelta(seconds=config.ace_cb_recovery_timeout)

    async def evolve(self, agent_id: str) -> Evolved | None:
        """None when there was nothing to do, or somebody else is at it.

        Raises:
            AgentCoreError: it failed, which the agent's status says now; nothing else changed.
        """
        claim = await self._store.run(lambda unit: self._claim(unit, agent_id))
        if claim is None:
            return None
        with self._metrics.evolution_duration.time():
            try:
                return await self._carry_out(claim)
            except asyncio.CancelledError:
                await self._let_go(claim, "idle", None)
                raise
            except EvolutionRateLimited:
                # Nothing has failed: it is due as before.
                await self._let_go(claim, "idle", None)
                raise
            except Exception as error:
                code = error.code if isinstance(error, AgentCoreError) else "internal_error"
                await self._let_go(claim, "failed", code)
                raise

    async def _patiently(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        return await patiently(self._store, work, self._clock)

    async def waiting(self, limit: int) -> list[str]:
        """The agents that the database says are due, whoever knew of them before."""
        now = self._clock.now()
        return await self._store.run(
            lambda unit: unit.status.waiting(
                interval=self._config.ace_evolution_interval,
                stale=now - LEASE,
                now=now,
                limit=limit,
            )
        )

    async def _carry_out(self, claim: Claim) -> Evolved:
        generation = await self._generator.generate(claim.playbook, claim.traces)
        proposals = await self._curator.deduplicate_deltas(list(generation.deltas))
        with self._cache.writing(claim.playbook.agent_id):
            # Its answer is paid for: a database that is away for moments is waited for.
            evolved = await self._patiently(
                lambda unit: self._commit(unit, claim, proposals, generation)
            )
            await self._cache.overtaken(evolved.playbook)
        self._metrics.deltas_applied.inc(evolved.applied)
        log.info(
            "playbook evolved",
            agent_id=claim.playbook.agent_id,
            version=evolved.playbook.version,
            traces=len(claim.traces),
            deltas_generated=evolved.generated,
            deltas_applied=evolved.applied,
        )
        return evolved

    async def _claim(self, unit: Unit, agent_id: str) -> Claim | None:
        if not await unit.status.try_claim(agent_id):
            return None
        status = await unit.status.get(agent_id, lock=True)
        playbook = await unit.playbooks.of(agent_id, lock=True)
        if playbook is None:
            playbook = await self._found(unit, agent_id)
        mark = EvolutionMark.of(playbook)
        now = self._clock.now()
        if status.status == "processing" and mark.claimed_at and now - mark.claimed_at < LEASE:
            return None
        traces = await unit.traces.since(agent_id, status.last_evolution, limit=MOST_TRACES)
        if len(traces) < (1 if mark.force else self._config.ace_min_traces_for_evolution):
            idle = status.model_copy(update={"status": "idle"})
            await unit.status.write_beside(idle, playbook, **{MARK: {}})
            return None
        token = str(self._ids.new())
        taken = mark.model_copy(update={"claim": token, "claimed_at": now})
        processing = status.model_copy(update={"status": "processing"})
        await unit.status.write_beside(processing, playbook, **{MARK: taken.as_json()})
        return Claim(token=token, playbook=playbook, traces=tuple(traces))

    async def _found(self, unit: Unit, agent_id: str) -> ContextPlaybook:
        """An empty playbook for an agent that left traces before it had one."""
        now = self._clock.now()
        playbook = ContextPlaybook(
            playbook_id=str(self._ids.new()),
            agent_id=agent_id,
            version=1,
            content={},
            created_at=now,
            updated_at=now,
        )
        await unit.playbooks.insert(playbook)
        await unit.deltas.insert(seed(playbook, str(self._ids.new())))
        return playbook

    async def _commit(
        self,
        unit: Unit,
        claim: Claim,
        proposals: Sequence[ContextDelta],
        generation: Generation,
    ) -> Evolved:
        agent_id = claim.playbook.agent_id
        status = await unit.status.get(agent_id, lock=True)
        current = await unit.playbooks.of(agent_id, lock=True)
        if current is None or EvolutionMark.of(current).claim != claim.token:
            raise EvolutionClaimLost(agent_id)
        texts = await _shown(unit, current, claim.traces)
        calibration = await self._calibration(unit, current)
        line = await self._gate.line(unit, current)
        after, entries = self.settle(
            current, claim.traces, texts, proposals, generation, calibration=calibration, line=line
        )
        await unit.deltas.insert_all(entries)
        notes: JsonObject = {MARK: _asked_meanwhile(current).as_json()}
        if is_private(claim.playbook, claim.traces):
            notes |= MARKED
        if after.version == current.version:
            await unit.playbooks.annotate(current, **notes)
        else:
            await unit.playbooks.advance(after, expected=current.version, **notes)
            await unit.deltas.keep_snapshot(current, after)
        if len(line):
            after = await self._gate.start_next(unit, after)
        applied = sum(entry.delta.applied for entry in entries if entry.kind == "delta")
        left = await unit.status.write_counted(
            EvolutionStatus(
                agent_id=agent_id,
                last_evolution=claim.traces[-1].captured_at,
                deltas_generated=status.deltas_generated + len(generation.deltas),
                deltas_applied=status.deltas_applied + applied,
                status="idle",
            )
        )
        return Evolved(
            playbook=after,
            generated=len(generation.deltas),
            applied=applied,
            more=left >= self._config.ace_evolution_interval,
        )

    async def _calibration(self, unit: Unit, playbook: ContextPlaybook) -> Calibration:
        since = self._clock.now() - REMEMBERED
        proposed = await unit.deltas.proposed(
            playbook.playbook_id, since=since, limit=MOST_OUTCOMES
        )
        bullets = {place.bullet.id: place.bullet for place in Draft.of(playbook.content).bullets()}
        return Calibration(outcomes(proposed, bullets))

    def settle(
        self,
        playbook: ContextPlaybook,
        traces: Sequence[ExecutionTrace],
        texts: Texts,
        proposals: Sequence[ContextDelta],
        generation: Generation,
        *,
        calibration: Calibration,
        line: WaitingLine,
    ) -> tuple[ContextPlaybook, list[Entry]]:
        """The playbook after counting and judging, and the entries that led there.

        ``texts`` are what the bullets said in the versions that the traces were shown.
        """
        after, entries = self._counted(playbook, traces, texts, generation.neutral)
        base, tries = after, self._gate.tries(after, traces)
        # What the call cost is booked once, in its own entry.
        provenance = generation.provenance.model_copy(update={"cost_usd": Decimal(0)})
        for proposal in proposals:
            decision = self._curator.judge(
                proposal,
                after,
                threshold=self._config.ace_confidence_threshold,
                base=base,
                calibration=calibration,
            )
            if not decision.accepted:
                entries.append(pending(after, proposal, decision.as_json(), provenance))
                continue
            operations = parse_operations(decision.delta.changes["ops"])
            if tries and decision.reason == "accepted":
                gate = decision.as_json() | line.place(operations)
                entries.append(pending(after, proposal, gate, provenance, operations))
                continue
            after, entry = advance(
                after,
                proposal,
                operations,
                now=self._clock.now(),
                provenance=provenance,
                gate=decision.as_json(),
            )
            entries.append(entry)
        return after, entries

    def _counted(
        self,
        playbook: ContextPlaybook,
        traces: Sequence[ExecutionTrace],
        texts: Texts,
        neutral: frozenset[str],
    ) -> tuple[ContextPlaybook, list[Entry]]:
        tags = tuple(
            tag.model_copy(update={"neutral": 1}) if tag.id in neutral else tag
            for tag in folded(playbook, traces, texts)
        )
        if not tags:
            return playbook, []
        now = self._clock.now()
        delta = ContextDelta(
            delta_id=str(self._ids.new()),
            playbook_id=playbook.playbook_id,
            changes={"ops": [tag.as_json() for tag in tags]},
            confidence=1.0,
            reasoning=f"counted from {len(traces)} traces",
            generated_at=now,
        )
        after, entry = advance(playbook, delta, tags, now=now, kind="counters")
        return after, [entry]

    async def _let_go(self, claim: Claim, state: EvolutionState, error: str | None) -> None:
        """Give the claim back; what was asked for stays asked for."""
        agent_id = claim.playbook.agent_id

        async def work(unit: Unit) -> None:
            status = await unit.status.get(agent_id, lock=True)
            current = await unit.playbooks.of(agent_id, lock=True)
            mark = EvolutionMark() if current is None else EvolutionMark.of(current)
            if current is None or mark.claim != claim.token:
                if mark.claim is None and status.status == "processing":
                    # Its playbook was deleted meanwhile: nobody is at work on that agent.
                    await unit.status.write(status.model_copy(update={"status": "idle"}))
                return
            left = EvolutionMark(
                requested_at=mark.requested_at, force=mark.force, failures=mark.failures
            )
            if error is not None:
                left = left.failed(error, self._clock.now(), self._rest)
            given_back = status.model_copy(update={"status": state})
            await unit.status.write_beside(given_back, current, **{MARK: left.as_json()})

        # Who is cancelled has no time to wait.
        await (self._store.run(work) if error is None else self._patiently(work))


async def _shown(unit: Unit, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]) -> Texts:
    stamped = {version_of(trace, playbook.playbook_id) for trace in traces}
    versions = {
        version
        for version in stamped
        if version is not None and playbook.version - MOST_BEHIND <= version <= playbook.version
    }
    later: list[Entry] = []
    if versions and min(versions) < playbook.version:
        walk = unit.deltas.walk(playbook.playbook_id, above=min(versions))
        later = [about_bullets(entry) async for entry in walk]
    return texts_at(playbook, later, versions)


def _asked_meanwhile(playbook: ContextPlaybook) -> EvolutionMark:
    """A request that came after the claim is about traces that the claim did not see."""
    mark = EvolutionMark.of(playbook)
    if mark.requested_at and mark.claimed_at and mark.requested_at > mark.claimed_at:
        return EvolutionMark(requested_at=mark.requested_at, force=mark.force)
    return EvolutionMark()
