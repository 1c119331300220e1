"""For results that are paid for: a database that is away for moments is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.resilience import retry

# As long as a restart of the database takes, and shorter than any lease.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 6, 0.5, 4.0

T = TypeVar("T")


async def patiently(store: ContextStore, work: Callable[[Unit], Awaitable[T]], clock: Clock) -> T:
    """As :meth:`ContextStore.run`, and again while the database is away."""
    return await retry(
        lambda: store.run(work),
        on=(StorageUnavailable,),
        attempts=ATTEMPTS,
        base=FIRST_PAUSE,
        cap=LONGEST_PAUSE,
        clock=clock,
    )
