"""Plays trials in the background, a batch of each agent's in turn, under the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import structlog

from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig
from agentcore.ace.paid_model import OUTPUT_PRICE
from agentcore.ace.paired_gate import LEASE, Batch, PairedGate
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import Pair, TrialGrounds
from agentcore.ace.privacy import is_private
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.store import ContextStore
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.kit.supervisor import Supervisor

TASK = "ace-trials"
RESCAN_SECONDS = 5.0
MOST_AGENTS = 100
BATCH_SECONDS = 600.0
# What a batch is booked at before anything is known of its episodes: so many tokens for each.
EPISODE_TOKENS = 100_000

log = structlog.get_logger()


class TrialWorker:
    """Any number of these, in any number of processes, share the work without doing it twice."""

    def __init__(
        self,
        config: ACEConfig,
        store: ContextStore,
        gate: PairedGate,
        *,
        budget: MonthlyBudget,
        cache: PlaybookCache,
        clock: Clock,
        metrics: ACEMetrics,
    ) -> None:
        self._price = Decimal(str(config.ace_cost_per_1m_tokens)) / 1_000_000
        self._store = store
        self._gate = gate
        self._budget = budget
        self._cache = cache
        self._clock = clock
        self._metrics = metrics
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """There is something to play now."""
        self._asked.set()

    @asynccontextmanager
    async def running(self, grounds: TrialGrounds, supervisor: Supervisor) -> AsyncIterator[None]:
        """Under the supervisor; on exit what is played is cut off, and due again at once."""
        supervisor.start(TASK, lambda: self._run(grounds))
        try:
            yield
        finally:
            await supervisor.end(TASK)

    async def round(self, grounds: TrialGrounds) -> int:
        """A batch for each agent that waits for one; how many agents that were."""
        now = self._clock.now()
        waiting = await self._store.run(
            lambda unit: unit.playbooks.in_trial(stale=now - LEASE, now=now, limit=MOST_AGENTS)
        )
        for agent_id in waiting:
            await self.play(agent_id, grounds)
        return len(waiting)

    async def play(self, agent_id: str, grounds: TrialGrounds) -> None:
        """One batch of the agent's trial, if there is one that nobody else plays."""
        batch = await self._store.run(lambda unit: self._gate.claim(unit, agent_id))
        if batch is None:
            return
        try:
            pairs, cost = await self._played(batch, grounds)
        except asyncio.CancelledError:
            await self._store.run(lambda unit: self._gate.release(unit, batch))
            raise
        except AgentCoreError as error:
            log.warning("trial disturbed", agent_id=agent_id, code=error.code, detail=error.detail)
            told = f"{error.code}: {error.detail}"
            await self._store.run(lambda unit: self._gate.disturbed(unit, batch, told))
            return
        with self._cache.writing(agent_id):
            after = await self._store.run(lambda unit: self._gate.count(unit, batch, pairs, cost))
            if after is not None:
                self._metrics.deltas_applied.inc()
                await self._cache.overtaken(after)

    async def _run(self, grounds: TrialGrounds) -> None:
        while True:
            self._asked.clear()
            if await self._found_some(grounds):
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(RESCAN_SECONDS):
                    await self._asked.wait()

    async def _found_some(self, grounds: TrialGrounds) -> bool:
        """Whether there was something to play; a database that is away is asked again later."""
        try:
            return await self.round(grounds) > 0
        except AgentCoreError as error:
            log.warning("trials wait", code=error.code, detail=error.detail)
            return False

    async def _played(self, batch: Batch, grounds: TrialGrounds) -> tuple[Sequence[Pair], Decimal]:
        """The pairs, and what they cost; booked before at what they may cost."""
        playbook = batch.champion
        trials = await grounds.trials(
            playbook.agent_id, batch.experiment.environment, private=is_private(playbook, ())
        )
        upper = 2 * len(batch.seeds) * EPISODE_TOKENS * self._price
        provenance = batch.provenance.model_copy(update={"cost_usd": upper})
        booking = await self._budget.reserve(playbook, provenance)
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                pairs = await trials.play(playbook, batch.challenger, batch.seeds)
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"{len(batch.seeds)} pairs of episodes took longer than {BATCH_SECONDS:.0f} s"
            ) from exc
        cost = sum((self._cost(pair) for pair in pairs), Decimal(0))
        self._metrics.llm_cost.inc(float(cost))
        await self._budget.settle(booking, playbook.agent_id, cost, outcome={"pairs": len(pairs)})
        return pairs, cost

    def _cost(self, pair: Pair) -> Decimal:
        if pair.cost_usd is not None:
            return pair.cost_usd
        return OUTPUT_PRICE * pair.tokens * self._price
