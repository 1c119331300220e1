"""Plays trials in the background, batches of a few agents at once, under the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TypeVar

import structlog

from agentcore.ace.errors import TrialWithdrawn
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig
from agentcore.ace.paid_model import OUTPUT_PRICE
from agentcore.ace.paired_gate import LEASE, Batch, PairedGate
from agentcore.ace.patience import patiently
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import Bill, Pair, PairedTrials, TrialGrounds
from agentcore.ace.privacy import is_private
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor

TASK, CLAIMS = "ace-trials", "ace-trial-claims"
RESCAN_SECONDS = 5.0
RENEW_SECONDS = LEASE.total_seconds() / 4
MOST_AGENTS = 100
# Agents that are tried at once in this process: an environment that hangs holds up no other agent.
AT_ONCE = 4
BATCH_SECONDS = 600.0
# What a batch is booked at before anything is known of its episodes: so many tokens for each.
EPISODE_TOKENS = 100_000

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Playing:
    """A batch that is played right now; ``limit`` ends it."""

    batch: Batch
    limit: asyncio.Timeout
    unwanted: bool = False


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
        # Agents at work here, and those of their batches that are just played.
        self._agents: set[str] = set()
        self._playing: set[_Playing] = set()

    def wake(self) -> None:
        """There is something to play now."""
        self._asked.set()

    @asynccontextmanager
    async def running(self, grounds: TrialGrounds, supervisor: Supervisor) -> AsyncIterator[None]:
        """Under the supervisor; on exit what is played is cut off, and due again at once."""
        supervisor.start(TASK, lambda: self._run(grounds))
        supervisor.start(CLAIMS, self._renewing)
        try:
            yield
        finally:
            await supervisor.end(TASK)
            await supervisor.end(CLAIMS)

    async def waiting(self) -> list[str]:
        """Agents with a batch to play that nobody plays, those that have waited longest first."""
        now = self._clock.now()
        return await self._store.run(
            lambda unit: unit.playbooks.in_trial(stale=now - LEASE, now=now, limit=MOST_AGENTS)
        )

    async def play(self, agent_id: str, grounds: TrialGrounds) -> None:
        """One batch of the agent's trial, if there is one that nobody else plays."""
        await self._settle_what_was_left(agent_id, grounds)
        batch = await self._store.run(lambda unit: self._gate.claim(unit, agent_id))
        if batch is None:
            return
        bill = Bill(trace_id=batch.token)
        try:
            pairs = await self._booked(batch, grounds, bill)
        except asyncio.CancelledError:
            # Who is cancelled has no time to wait for a database.
            await self._store.run(lambda unit: self._gate.release(unit, batch, self._cost(bill)))
            raise
        except AgentCoreError as error:
            log.warning("trial disturbed", agent_id=agent_id, code=error.code, detail=error.detail)
            told, cost = f"{error.code}: {error.detail}", self._cost(bill)
            await self._patiently(lambda unit: self._gate.disturbed(unit, batch, told, cost))
            return
        cost = self._cost(bill)
        with self._cache.writing(agent_id):
            after = await self._patiently(lambda unit: self._gate.count(unit, batch, pairs, cost))
            if after is not None:
                self._metrics.deltas_applied.inc()
                await self._cache.overtaken(after)

    async def renew(self) -> None:
        """Tell others that what is played here still is; what nobody wants is cut off."""
        for playing in tuple(self._playing):
            renewed = partial(self._gate.renew, batch=playing.batch)
            if not await self._store.run(renewed) and playing in self._playing:
                playing.unwanted = True
                playing.limit.reschedule(asyncio.get_running_loop().time())

    async def _renewing(self) -> None:
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                await self.renew()
            except AgentCoreError as error:
                log.warning("a trial's claim is not renewed", code=error.code, detail=error.detail)

    async def _run(self, grounds: TrialGrounds) -> None:
        self._agents.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                self._asked.clear()
                for agent_id in await self._next():
                    self._agents.add(agent_id)
                    group.create_task(self._one(agent_id, grounds))
                with suppress(TimeoutError):
                    async with asyncio.timeout(RESCAN_SECONDS):
                        await self._asked.wait()

    async def _next(self) -> list[str]:
        """Those that there is room for; a database that is away is asked again later."""
        room = AT_ONCE - len(self._agents)
        try:
            waiting = await self.waiting() if room else []
        except AgentCoreError as error:
            log.warning("trials wait", code=error.code, detail=error.detail)
            return []
        return [agent_id for agent_id in waiting if agent_id not in self._agents][:room]

    async def _one(self, agent_id: str, grounds: TrialGrounds) -> None:
        try:
            await self.play(agent_id, grounds)
        except AgentCoreError as error:
            # It stands in the database as before: a later look finds it.
            log.warning("trials wait", code=error.code, detail=error.detail)
        else:
            self.wake()
        finally:
            self._agents.discard(agent_id)

    async def _patiently(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        return await patiently(self._store, work, self._clock)

    async def _booked(self, batch: Batch, grounds: TrialGrounds, bill: Bill) -> Sequence[Pair]:
        """The pairs; booked before at what they may cost, and after at what is on the bill."""
        playbook = batch.champion
        trials = await grounds.trials(
            playbook.agent_id, batch.experiment.environment, bill, private=is_private(playbook, ())
        )
        upper = 2 * len(batch.seeds) * EPISODE_TOKENS * self._price
        provenance = batch.provenance.model_copy(update={"cost_usd": upper})
        booking = await self._budget.reserve(playbook, provenance, booking_id=batch.token)
        pairs: Sequence[Pair] = ()
        try:
            pairs = await self._played(batch, trials)
        finally:
            cost = self._cost(bill)
            self._metrics.llm_cost.inc(float(cost))
            outcome: JsonObject = {"pairs": len(pairs)}
            await self._budget.settle(booking, playbook.agent_id, cost, outcome=outcome)
        return pairs

    async def _settle_what_was_left(self, agent_id: str, grounds: TrialGrounds) -> None:
        """A batch whose process died is paid for: its calls, and what may have been under way."""
        token = await self._store.run(lambda unit: self._gate.left(unit, agent_id))
        booking = None if token is None else await self._budget.unsettled(token)
        if booking is None:
            return
        bill = await grounds.spent(agent_id, booking.delta.delta_id)
        cost = self._cost(bill) + EPISODE_TOKENS * self._price
        cost = min(cost, booking.provenance.cost_usd)
        self._metrics.llm_cost.inc(float(cost))
        await self._budget.settle(booking, agent_id, cost, outcome={"error": "process_died"})

    async def _played(self, batch: Batch, trials: PairedTrials) -> Sequence[Pair]:
        limit = asyncio.timeout(BATCH_SECONDS)
        playing = _Playing(batch, limit)
        try:
            async with limit:
                self._playing.add(playing)
                return await trials.play(batch.champion, batch.challenger, batch.seeds)
        except TimeoutError as exc:
            if playing.unwanted:
                raise TrialWithdrawn(batch.champion.agent_id) from exc
            raise DeadlineExceeded(
                f"{len(batch.seeds)} pairs of episodes took longer than {BATCH_SECONDS:.0f} s"
            ) from exc
        finally:
            self._playing.discard(playing)

    def _cost(self, bill: Bill) -> Decimal:
        return bill.cost_usd + OUTPUT_PRICE * bill.unpriced_tokens * self._price
