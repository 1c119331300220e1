"""Environments in which playbooks fare as a test decides.

It keeps the port's promises (``agentcore.ace.ports.TrialGrounds``), which
``tests/contracts/ace/test_trial_grounds.py`` checks on every adapter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ports import Bill, Pair, PairedTrials
from agentcore.kit.errors import AgentCoreError, NotFound

# What a playbook makes of a seed.
Fares = Callable[[ContextPlaybook, int], float]


@dataclass
class ScriptedGrounds:
    fares: Fares = lambda playbook, seed: 0.5
    environments: frozenset[str] = frozenset({"maze"})
    fault: AgentCoreError | None = None
    cost_usd: Decimal | None = Decimal("0.01")
    bill: Bill = field(default_factory=Bill)
    played: list[int] = field(default_factory=list)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    # What is known of the calls of a process that died.
    left: Decimal = Decimal("0.03")
    # Set by a test that wants to see a batch under way.
    gate: asyncio.Event | None = None

    async def check(self, environment: str) -> None:
        if environment not in self.environments:
            raise NotFound(f"there is no environment {environment!r}")

    async def trials(
        self, agent_id: str, environment: str, bill: Bill, *, private: bool
    ) -> PairedTrials:
        await self.check(environment)
        self.asked.append((agent_id, environment, private))
        self.bill = bill
        return self

    async def spent(self, agent_id: str, trace_id: str) -> Bill:
        return Bill(trace_id=trace_id, cost_usd=self.left)

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        self._charge(len(seeds))
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.played += seeds
        return [
            Pair(
                champion=self.fares(champion, seed),
                challenger=self.fares(challenger, seed),
            )
            for seed in seeds
        ]

    def _charge(self, pairs: int) -> None:
        """Whatever becomes of them."""
        if self.cost_usd is None:
            self.bill.unpriced_tokens += 1000 * pairs
        else:
            self.bill.cost_usd += self.cost_usd * pairs
