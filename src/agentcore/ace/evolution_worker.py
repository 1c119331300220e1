"""Evolves playbooks in the background, several at a time, under the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog

from agentcore.ace.errors import (
    EvolutionClaimLost,
    EvolutionDisturbed,
    EvolutionQueueFull,
    EvolutionRateLimited,
)
from agentcore.ace.evolution import Evolution, Evolved
from agentcore.ace.evolution_queue import EvolutionQueue
from agentcore.ace.models import ACEConfig
from agentcore.ace.pacing import Pace
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.kit.resilience import CircuitOpen, retry
from agentcore.kit.supervisor import Supervisor

TASK = "ace-evolution"
# How often the database is asked for agents that this process was never told about.
RESCAN_SECONDS = 30.0
DRAIN_SECONDS = 20.0
# Of one evolution. What still fails then is on record and rests before it is taken up again.
ATTEMPTS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
# Said to be worth a repetition, but not at once: somebody else is at it, or the limit is ours, or
# the call may have been billed.
NOT_AT_ONCE = (EvolutionClaimLost, EvolutionRateLimited, CircuitOpen, DeadlineExceeded)

log = structlog.get_logger()


class EvolutionWorker:
    """Any number of these, in any number of processes, share the work without doing it twice."""

    def __init__(
        self,
        config: ACEConfig,
        queue: EvolutionQueue,
        evolution: Evolution,
        *,
        supervisor: Supervisor,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._pace = pace
        self._config = config
        self._queue = queue
        self._evolution = evolution
        self._supervisor = supervisor
        self._clock = clock
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._next_scan = clock.monotonic()

    async def start(self) -> None:
        """Begin with what the database says is due."""
        self._supervisor.start(TASK, self._run)

    async def stop(self) -> None:
        """Finish what is queued, for a bounded time; the rest is due again at the next start."""
        if TASK not in self._supervisor.health():
            return
        self._stopping = True
        self._pace.hurry()
        self._queue.wake()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._stopped.wait()
        except TimeoutError:
            log.warning("evolution is stopped with work left", agents=len(self._queue))

    async def enqueue_evolution_request(self, agent_id: str) -> int:
        """The agent's position in the queue, at once.

        Raises:
            EvolutionQueueFull: all places are taken.
        """
        return self._queue.put(agent_id)

    async def _run(self) -> None:
        # What a worker that died had taken from the queue stands in the database only.
        self._next_scan = self._clock.monotonic()
        self._running = set()
        async with asyncio.TaskGroup() as self._group:
            while not self._stopping or len(self._queue):
                if self._clock.monotonic() >= self._next_scan and not self._stopping:
                    await self._scan()
                places = self._config.ace_worker_batch_size - len(self._running)
                batch = await self._queue.take(
                    places, timeout=self._config.ace_worker_batch_timeout
                )
                await self._process_batch(batch)
        self._stopped.set()

    async def _scan(self) -> None:
        self._next_scan = self._clock.monotonic() + RESCAN_SECONDS
        free = self._config.ace_worker_queue_size - len(self._queue)
        try:
            due = await self._evolution.waiting(free)
        except AgentCoreError as error:
            # Evolutions that are under way have been paid for: they must not end with this.
            log.warning("nobody knows which evolutions are due", code=error.code)
            return
        for agent_id in due:
            self._remember(agent_id)

    async def _process_batch(self, requests: Sequence[str]) -> None:
        """Start all of them, and wait for a free place.

        One that fails is on record and does not disturb the others; one that is slow does not
        keep the next from starting.
        """
        for agent_id in requests:
            task = self._group.create_task(self._handle_evolution_request(agent_id))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if len(self._running) >= self._config.ace_worker_batch_size:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    async def _handle_evolution_request(self, agent_id: str) -> None:
        try:
            evolved = await retry(
                partial(self._evolved, agent_id),
                on=(EvolutionDisturbed,),
                attempts=1 if self._stopping else ATTEMPTS,
                base=FIRST_PAUSE,
                cap=LONGEST_PAUSE,
                clock=self._clock,
            )
        except AgentCoreError as error:
            # Its status says so, too; a later scan takes it up again when it has cooled down.
            log.warning("evolution failed", agent_id=agent_id, code=error.code, detail=error.detail)
            return
        if evolved is not None and evolved.more and not self._stopping:
            self._remember(agent_id)

    async def _evolved(self, agent_id: str) -> Evolved | None:
        try:
            await self._pace.turn()
            return await self._pace.counted(self._evolution.evolve(agent_id))
        except AgentCoreError as error:
            if error.retryable and not isinstance(error, NOT_AT_ONCE):
                raise EvolutionDisturbed(error) from error
            raise

    def _remember(self, agent_id: str) -> None:
        """Queue the agent if there is room: a later scan finds it anyway."""
        with suppress(EvolutionQueueFull):
            self._queue.put(agent_id)
