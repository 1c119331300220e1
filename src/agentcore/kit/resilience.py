"""Retry, circuit breaker and deadline: the only place where a call is repeated or refused."""

from __future__ import annotations

import random as random_module
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import (
    RPC_UNAVAILABLE,
    AgentCoreError,
    DeadlineExceeded,
)

T = TypeVar("T")
BreakerState = Literal["closed", "open", "half_open"]


class CircuitOpen(AgentCoreError):
    code, http_status, rpc_code, retryable = "circuit_open", 503, RPC_UNAVAILABLE, True


class Deadline:
    """A moment after which nobody waits for the answer any more."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative; infinite without a limit."""
        if self._end is None:
            return float("inf")
        return max(0.0, self._end - self._clock.monotonic())

    def check(self) -> None:
        if self.remaining() == 0.0:
            raise DeadlineExceeded("the request's deadline has passed")


class CircuitBreaker:
    """Opens after ``failure_threshold`` failures in a row, tries one call after the recovery time.

    Counting is local to the process and costs no I/O. What is no failure of the callee (a bad
    request, saturation) must not be reported as one.
    """

    def __init__(
        self,
        name: str,
        *,
        failure_threshold: int,
        recovery_seconds: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self._threshold = failure_threshold
        self._recovery = recovery_seconds
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    def tune(self, *, failure_threshold: int, recovery_seconds: float) -> None:
        """Go by other figures from now on; what was counted stays counted."""
        self._threshold = failure_threshold
        self._recovery = recovery_seconds

    @property
    def state(self) -> BreakerState:
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._wait() <= 0 else "open"

    def admit(self) -> None:
        """Let one call pass, or raise ``CircuitOpen``; whoever passes must report the outcome."""
        if self._opened_at is None:
            return
        wait = self._wait()
        if wait > 0 or self._probing:
            raise CircuitOpen(
                f"{self.name} failed {self._failures} times in a row and is not called",
                hint="its state is tried again by itself; see retry_after",
                retry_after=round(max(wait, 0.1), 3),
            )
        self._probing = True

    def succeeded(self) -> None:
        self._failures, self._opened_at, self._probing = 0, None, False

    def failed(self) -> None:
        self._failures += 1
        self._probing = False
        if self._failures >= self._threshold:
            self._opened_at = self._clock.monotonic()

    def released(self) -> None:
        """The admitted call ended without telling anything about the callee (cancelled)."""
        self._probing = False

    @asynccontextmanager
    async def guard(
        self, *, blames: Callable[[Exception], bool] = lambda _: True
    ) -> AsyncIterator[None]:
        """Admit the block and report its outcome; errors that ``blames`` denies tell nothing."""
        self.admit()
        try:
            yield
        except Exception as error:
            if blames(error):
                self.failed()
            else:
                self.released()
            raise
        except BaseException:
            self.released()
            raise
        else:
            self.succeeded()

    def _wait(self) -> float:
        if self._opened_at is None:
            return 0.0
        return self._opened_at + self._recovery - self._clock.monotonic()


async def retry(
    work: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Exception], ...],
    attempts: int = 3,
    base: float = 0.05,
    cap: float = 2.0,
    clock: Clock = SYSTEM_CLOCK,
    random: Callable[[], float] = random_module.random,
) -> T:
    """Call ``work`` until it succeeds, at most ``attempts`` times, with full jitter between.

    An error of ours that says ``retry_after`` is waited for at least that long, unless it is
    longer than ``cap``: then waiting is left to the caller and the error is raised at once.
    """
    for attempt in range(1, attempts + 1):
        try:
            return await work()
        except on as error:
            asked = error.retry_after if isinstance(error, AgentCoreError) else None
            if attempt == attempts or (asked is not None and asked > cap):
                raise
            pause = random() * min(cap, base * 2**attempt)
            await clock.sleep(max(pause, asked or 0.0))
    raise AssertionError("attempts must be at least 1")
