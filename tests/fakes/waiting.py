"""Waiting in tests for what others do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import pytest

from agentcore.kit.errors import AgentCoreError

T = TypeVar("T")
_FAILURES = (AssertionError, pytest.fail.Exception, AgentCoreError)


async def eventually(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Return as soon as it holds. Patience costs nothing: a loaded machine is slow, not wrong."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


async def in_time(attempt: Callable[[float], Awaitable[T]], seconds: float = 0.1) -> T:
    """For one thing that must run out of time where others before it must not.

    On a machine that is busy they do, and the attempt fails: it gets ten times as
    long, up to more than anybody is kept waiting. What is wrong stays wrong however long it has.
    """
    while seconds < 10:
        with suppress(*_FAILURES):
            return await attempt(seconds)
        seconds *= 10
    return await attempt(seconds)
