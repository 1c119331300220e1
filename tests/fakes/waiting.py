"""Waiting in tests for what others do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as it holds. Patience costs nothing: a loaded machine is slow, not wrong."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
