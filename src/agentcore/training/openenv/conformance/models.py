"""What is checked and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from agentcore.kit.jsonvalue import JsonObject

Severity = Literal["must", "should", "extra"]
Outcome = Literal["pass", "fail", "warn", "skipped"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The server and how far the checks may go with it.

    ``sessions`` is its limit where the caller knows it; more than ``most_sessions`` are never open
    at once. ``actions`` are played in this order, over and over, in place of sampled ones.
    ``settle_seconds`` is the time that a server has to give a slot back, ``quiet_seconds`` for how
    long nothing may come unasked.
    """

    url: str
    token: str | None = None
    agent_token: str | None = None
    seed: int = 7
    actions: tuple[JsonObject, ...] = ()
    sessions: int | None = None
    most_sessions: int = 16
    most_steps: int = 200
    answer_seconds: float = 10.0
    settle_seconds: float = 3.0
    quiet_seconds: float = 0.1
    check_seconds: float = 60.0
    deadline_seconds: float = 300.0


class Result(_Value):
    """``expected``, ``got`` and ``reproduce`` (the last lines on the wire) of what did not pass."""

    id: str
    title: str
    section: str
    severity: Severity
    outcome: Outcome
    expected: str = ""
    got: str = ""
    reason: str = ""
    reproduce: tuple[str, ...] = ()
    seconds: float


class Report(_Value):
    url: str
    environment: str
    version: str
    seed: int
    results: tuple[Result, ...]
    seconds: float

    @property
    def counts(self) -> dict[Outcome, int]:
        found = Counter(result.outcome for result in self.results)
        return {outcome: found[outcome] for outcome in get_args(Outcome)}

    @property
    def passed(self) -> bool:
        """Nothing failed, and something was judged."""
        return not self.counts["fail"] and self.counts["skipped"] < len(self.results)
