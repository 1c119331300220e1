"""Every call on a ledger, written in batches beside the data path.

A killed process loses at most what it has not flushed: half a second by default, less where calls
are many. While the database is away lines wait in memory; beyond the buffer's bound new ones are
dropped and counted. A line that the database refuses is dropped alone: it must not keep the others
waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.llm_gateway.errors import UnwritableCalls
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord

BATCH = 2000
# So many pending lines are written before their time: waiting they cost memory, and a long write
# keeps a core that the calls of the moment could have.
MANY = 500

log = structlog.get_logger()

WriteCalls = Callable[[Sequence[CallRecord]], Awaitable[None]]


class Ledger:
    """``write`` must be idempotent by the records' id: a batch of unknown fate is repeated."""

    def __init__(
        self,
        write: WriteCalls,
        *,
        clock: Clock,
        metrics: GatewayMetrics,
        flush_seconds: float,
        buffer: int,
    ) -> None:
        self._write = write
        self._clock = clock
        self._metrics = metrics
        self._flush_seconds = flush_seconds
        self._buffer = buffer
        self._pending: deque[CallRecord] = deque()
        self._many = asyncio.Event()
        self._writing = asyncio.Lock()
        metrics.ledger_pending.set_function(lambda: len(self._pending))

    def add(self, record: CallRecord) -> None:
        if len(self._pending) >= self._buffer:
            self._metrics.ledger_dropped.inc()
            return
        self._pending.append(record)
        if len(self._pending) == MANY:
            self._many.set()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def holds(self, trace_id: str) -> bool:
        """Whether a line of that trace is not written yet."""
        return any(record.trace_id == trace_id for record in self._pending)

    async def run(self) -> None:
        """Flush for ever; a database that is away is tried again at the next turn."""
        while True:
            await self._clock.sleep(self._flush_seconds)
            await self._try_to_flush()

    async def relieve(self) -> None:
        """Flush for ever, each time when the lines become many."""
        while True:
            await self._many.wait()
            self._many.clear()
            await self._try_to_flush()

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
        except StorageUnavailable as error:
            log.warning("ledger waits", pending=self.pending, error=error.detail)

    async def flush(self) -> None:
        """Write what is pending; what could not be written stays pending.

        Raises:
            StorageUnavailable: the database is away.
        """
        async with self._writing:
            while batch := list(islice(self._pending, BATCH)):
                await self._enter(batch)
                for _ in batch:
                    self._pending.popleft()

    async def _enter(self, batch: Sequence[CallRecord]) -> None:
        try:
            await self._write(batch)
        except UnwritableCalls:
            if len(batch) == 1:
                self._metrics.ledger_dropped.inc()
                log.exception("a ledger line is lost", id=str(batch[0].id))
                return
            half = len(batch) // 2
            await self._enter(batch[:half])
            await self._enter(batch[half:])
