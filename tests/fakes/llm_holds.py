"""A guard that lets everybody in and remembers what is held of money."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from agentcore.llm_gateway.accounts import Outcome
from agentcore.llm_gateway.allowance import Grant, Hold
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.prices import Price


class Held:
    """What became of one attempt's money: "settled" or "released", once."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.ends: list[str] = []

    def settle(self, outcome: Outcome, cost: Decimal | None) -> None:
        self.ends.append("settled")

    def release(self, outcome: Outcome) -> None:
        self.ends.append("released")


class Granted:
    def __init__(self, call: ChatCall, holds: list[Held]) -> None:
        self._call = call
        self._holds = holds
        self.headers: Sequence[tuple[str, str]] = ()

    async def hold(self, price: Price | None) -> Hold:
        self._holds.append(Held(self._call.model))
        return self._holds[-1]

    def rest(self, call: ChatCall) -> Grant:
        return Granted(call, self._holds)

    def over(self) -> None: ...


class CountingGuard:
    def __init__(self) -> None:
        self.holds: list[Held] = []
        self.admitted = 0

    async def admit(self, call: ChatCall) -> Grant:
        self.admitted += 1
        return Granted(call, self.holds)

    def ends(self, model: str) -> list[list[str]]:
        """Of each attempt for ``model``, in order."""
        return [held.ends for held in self.holds if held.model == model]
