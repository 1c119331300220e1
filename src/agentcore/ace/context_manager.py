"""Playbooks, traces and evolution of agents, as their owners and the rest of AgentCore see them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from pydantic import JsonValue

from agentcore.ace.captures.store import Captured
from agentcore.ace.difference import Difference, difference
from agentcore.ace.errors import (
    EvolutionQueueFull,
    InvalidOperation,
    PlaybookNotFound,
    TraceIdReused,
    TraceTooLarge,
    UnknownAgent,
)
from agentcore.ace.evolution import MARK, EvolutionMark
from agentcore.ace.evolution_queue import EvolutionQueue
from agentcore.ace.experiment import arm_of, names_experiment
from agentcore.ace.gate import Decided
from agentcore.ace.journal import Entry
from agentcore.ace.ledger import PlaybookLedger
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import (
    LARGEST_TRACE,
    ACEConfig,
    ContextDelta,
    ContextPlaybook,
    DeltaOutcome,
    EvolutionStatus,
    ExecutionTrace,
    RenderedContext,
)
from agentcore.ace.nearby import CachedPlaybook
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import AgentDirectory, AgentOwner
from agentcore.ace.privacy import MARKED, marked
from agentcore.ace.rendering import Renderer
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.visibility import sees, speaks_for
from agentcore.kit.clock import Clock
from agentcore.kit.ids import stable_uuid
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.security import Principal

DEFAULT_RENDER_TOKENS = 2000


class ContextManager:
    """Each method takes the ``principal`` it acts for; None is AgentCore itself.

    What belongs to another tenant does not exist for a principal.
    """

    def __init__(
        self,
        config: ACEConfig,
        store: ContextStore,
        ledger: PlaybookLedger,
        cache: PlaybookCache,
        agents: AgentDirectory,
        *,
        queue: EvolutionQueue,
        clock: Clock,
        metrics: ACEMetrics,
    ) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger
        self._cache = cache
        self._agents = agents
        self._queue = queue
        self._clock = clock
        self._metrics = metrics
        self._renderer = Renderer()
        metrics.watch_queue(queue.__len__)

    async def create_playbook(
        self,
        agent_id: str,
        initial_context: Mapping[str, JsonValue],
        *,
        principal: Principal | None = None,
    ) -> ContextPlaybook:
        """The agent's first playbook; a principal's agent that does not exist is registered.

        Raises:
            PlaybookExists: the agent has one, and it is not empty.
        """
        owner = await self._agents.owner(agent_id)
        if owner is None and principal is not None and speaks_for(principal, agent_id):
            await self._agents.ensure(agent_id, principal)
        owner = await self._owner(agent_id, principal, UnknownAgent)
        with self._cache.writing(agent_id):
            mark = MARKED if principal is not None and principal.private else {}
            playbook = await self._ledger.create(agent_id, initial_context, mark)
            await self._cache.written(owner.tenant, playbook)
        return playbook

    async def get_playbook(
        self, agent_id: str, *, principal: Principal | None = None
    ) -> ContextPlaybook:
        """The playbook as it is now. Change nothing in it: other readers hold the same."""
        with self._metrics.playbook_retrieval.time():
            found = await self._cache.get(agent_id) or await self._fetched(agent_id)
        if not sees(principal, agent_id, tenant=found.tenant):
            raise PlaybookNotFound(agent_id)
        return found.playbook

    async def update_playbook(
        self, agent_id: str, delta: ContextDelta, *, principal: Principal | None = None
    ) -> ContextPlaybook:
        """The playbook after :meth:`apply_delta`."""
        return (await self.apply_delta(agent_id, delta, principal=principal)).playbook

    async def apply_delta(
        self,
        agent_id: str,
        delta: ContextDelta,
        *,
        expected_version: int | None = None,
        principal: Principal | None = None,
    ) -> DeltaOutcome:
        """Apply an owner's delta; below the confidence threshold it is kept, not applied.

        Sending the same delta again has no further effect. With ``expected_version``, what was
        made for an older version is applied if nothing it touches has changed since.

        Raises:
            PlaybookVersionConflict: it has.
        """
        owner = await self._owner(agent_id, principal, PlaybookNotFound)
        await self._keep_private(agent_id, principal)
        with self._cache.writing(agent_id):
            outcome = await self._ledger.apply(agent_id, delta, expected_version)
            await self._cache.written(owner.tenant, outcome.playbook)
        return outcome

    async def rollback(
        self, agent_id: str, version: int, *, principal: Principal | None = None
    ) -> DeltaOutcome:
        """Make the content of an earlier version the newest one."""
        owner = await self._owner(agent_id, principal, PlaybookNotFound)
        with self._cache.writing(agent_id):
            outcome = await self._ledger.rollback(agent_id, version)
            await self._cache.written(owner.tenant, outcome.playbook)
        return outcome

    async def delete_playbook(self, agent_id: str, *, principal: Principal | None = None) -> None:
        """Remove the playbook with all its deltas; traces stay."""
        await self._owner(agent_id, principal, PlaybookNotFound)
        with self._cache.writing(agent_id):
            # Before, too: whoever dies behind the commit tells nobody.
            await self._cache.deleted(agent_id)
            if not await self._store.run(lambda unit: unit.playbooks.delete(agent_id)):
                raise PlaybookNotFound(agent_id)
            await self._cache.deleted(agent_id)

    async def render(
        self,
        agent_id: str,
        task_text: str = "",
        token_budget: int = DEFAULT_RENDER_TOKENS,
        *,
        task_id: str = "",
        principal: Principal | None = None,
    ) -> RenderedContext:
        """The playbook as text for a task. Report its stamp with the task: the trace needs it.

        With ``task_id``, the name under which the task will be reported, it takes part in the
        experiment that is running, always in the same arm.
        """
        playbook = await self.get_playbook(agent_id, principal=principal)
        arm = arm_of(playbook, task_id)
        try:
            found = self._renderer.render(
                playbook, task_text=task_text, token_budget=token_budget, arm=arm
            )
        except InvalidOperation:
            # The owner has changed what the other arm would change: nothing is compared any more.
            found = self._renderer.render(playbook, task_text=task_text, token_budget=token_budget)
        return replace(found, stamp=replace(found.stamp, named=True)) if task_id else found

    async def capture_execution_trace(
        self, agent_id: str, trace: ExecutionTrace, *, principal: Principal | None = None
    ) -> ExecutionTrace:
        """Store ``trace`` under our own clock; the same trace again is the stored one.

        Every ``ace_evolution_interval`` traces start an evolution.
        """
        await self._owner(agent_id, principal, UnknownAgent)
        size = len(dumps(trace.metadata)) + len((trace.error_message or "").encode())
        if size > LARGEST_TRACE:
            raise TraceTooLarge(size, LARGEST_TRACE)
        stored = marked(trace, principal).model_copy(
            update={
                "agent_id": agent_id,
                "trace_id": str(stable_uuid(trace.trace_id, within=agent_id)),
            }
        )
        captured = await self._captured(stored)
        if captured is None:
            return await self._captured_before(stored)
        if captured.pending % self._config.ace_evolution_interval == 0:
            # A full queue loses nothing: the worker finds the agent in the database.
            with suppress(EvolutionQueueFull):
                self._enqueue(agent_id)
        return captured.trace

    async def trigger_evolution(
        self, agent_id: str, *, force: bool = False, principal: Principal | None = None
    ) -> int:
        """Queue an evolution and return its position; ``force`` drops the minimum of traces.

        Raises:
            EvolutionQueueFull: at once, without waiting for a place.
        """
        await self._owner(agent_id, principal, PlaybookNotFound)
        self._queue.admit(agent_id)
        await self._store.run(lambda unit: self._request(unit, agent_id, force=force))
        return self._enqueue(agent_id)

    async def evolution_status(
        self, agent_id: str, *, principal: Principal | None = None
    ) -> EvolutionStatus:
        await self._owner(agent_id, principal, UnknownAgent)
        return await self._store.run(lambda unit: unit.status.get(agent_id))

    async def history(
        self,
        agent_id: str,
        *,
        below: int | None = None,
        limit: int = 50,
        principal: Principal | None = None,
    ) -> list[Entry]:
        """The versions of the playbook below ``below``, newest first."""
        playbook = await self.get_playbook(agent_id, principal=principal)
        return await self._store.run(
            lambda unit: unit.deltas.versions(playbook.playbook_id, below=below, limit=limit)
        )

    async def content_at(
        self, agent_id: str, version: int, *, principal: Principal | None = None
    ) -> JsonObject:
        """What the playbook held at ``version``.

        Raises:
            VersionNotFound: there is no such version, or not yet.
        """
        await self._owner(agent_id, principal, PlaybookNotFound)
        return await self._ledger.content_at(agent_id, version)

    async def difference(
        self, agent_id: str, before: int, after: int, *, principal: Principal | None = None
    ) -> Difference:
        """What lies between two versions; ``before`` may be the later one."""
        one = await self.content_at(agent_id, before, principal=principal)
        return difference(one, await self.content_at(agent_id, after, principal=principal))

    async def deltas(
        self,
        agent_id: str,
        *,
        after: str | None = None,
        limit: int = 50,
        principal: Principal | None = None,
    ) -> list[Entry]:
        """All deltas of the playbook, applied or not, newest first, behind the id ``after``."""
        playbook = await self.get_playbook(agent_id, principal=principal)
        return await self._store.run(
            lambda unit: unit.deltas.page(playbook.playbook_id, after=after, limit=limit)
        )

    async def forget(self, agent_id: str) -> None:
        """Call before and when an agent is removed: the database cascades, caches do not."""
        await self._cache.deleted(agent_id)

    async def playbook_of(self, delta: ContextDelta) -> ContextPlaybook:
        playbook_id = str(stable_uuid(delta.playbook_id))
        found = await self._store.run(lambda unit: unit.playbooks.get(playbook_id))
        if found is None:
            raise PlaybookNotFound(delta.playbook_id)
        return found

    async def _owner(
        self,
        agent_id: str,
        principal: Principal | None,
        missing: type[UnknownAgent | PlaybookNotFound],
    ) -> AgentOwner:
        owner = await self._agents.owner(agent_id)
        if owner is None or not sees(principal, agent_id, tenant=owner.tenant):
            raise missing(agent_id)
        return owner

    async def _keep_private(self, agent_id: str, principal: Principal | None) -> None:
        """Mark the playbook that a private caller writes into."""
        if principal is None or not principal.private:
            return

        async def work(unit: Unit) -> None:
            playbook = await unit.playbooks.of(agent_id, lock=True)
            if playbook is not None:
                await unit.playbooks.annotate(playbook, **MARKED)

        await self._store.run(work)

    async def _fetched(self, agent_id: str) -> CachedPlaybook:
        owner = await self._owner(agent_id, None, PlaybookNotFound)
        playbook = await self._store.run(lambda unit: unit.playbooks.of(agent_id))
        if playbook is None:
            raise PlaybookNotFound(agent_id)
        return await self._cache.fill(owner.tenant, playbook)

    async def _captured(self, trace: ExecutionTrace) -> Captured | None:
        """None where it was captured before."""
        if not names_experiment(trace):
            return await self._store.capture(trace, self._clock.now())

        async def work(unit: Unit) -> tuple[Captured | None, Decided | None]:
            for captured in await unit.traces.capture([trace], self._clock.now()):
                return captured, await self._ledger.gate.learn(unit, captured.trace)
            return None, None

        with self._cache.writing(trace.agent_id):
            captured, decided = await self._store.run(work)
            if decided is not None:
                self._metrics.deltas_applied.inc(decided.promoted)
                await self._cache.overtaken(decided.playbook)
        return captured

    async def _captured_before(self, trace: ExecutionTrace) -> ExecutionTrace:
        known = await self._store.run(lambda unit: unit.traces.get(trace.trace_id))
        if known is None or known.agent_id != trace.agent_id:
            raise TraceIdReused(trace.trace_id)
        return known

    async def _request(self, unit: Unit, agent_id: str, *, force: bool) -> None:
        playbook = await unit.playbooks.of(agent_id, lock=True)
        if playbook is None:
            raise PlaybookNotFound(agent_id)
        mark = EvolutionMark.of(playbook)
        asked = mark.model_copy(
            update={"requested_at": self._clock.now(), "force": force or mark.force}
        )
        await unit.playbooks.annotate(playbook, **{MARK: asked.as_json()})

    def _enqueue(self, agent_id: str) -> int:
        position = self._queue.put(agent_id)
        self._metrics.evolution_requests.inc()
        return position
