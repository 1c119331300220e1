"""A database of budgets that can be away, hang, or lose its answer after it has done its work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from agentcore.kit.db import CommitUnknown, StorageUnavailable
from agentcore.llm_gateway.budgets.models import Drawn, Holding
from agentcore.llm_gateway.budgets.purse import Treasury


class FaultyTreasury:
    """Hands on to a real one; ``faults`` are what happens to the next askings, in order."""

    def __init__(self, treasury: Treasury) -> None:
        self._treasury = treasury
        self.away = False
        self.faults: list[str] = []
        self.draws = 0

    async def draw(
        self, holding: Holding, *, need: Decimal, share: Decimal, now: datetime
    ) -> Drawn | None:
        self.draws += 1
        fault = self._fault()
        drawn = await self._treasury.draw(holding, need=need, share=share, now=now)
        self._after(fault)
        return drawn

    async def tell(self, holdings: Sequence[Holding], *, now: datetime) -> list[UUID]:
        fault = self._fault()
        alerted = await self._treasury.tell(holdings, now=now)
        self._after(fault)
        return alerted

    async def close(self, holdings: Sequence[Holding]) -> None:
        fault = self._fault()
        await self._treasury.close(holdings)
        self._after(fault)

    def _fault(self) -> str:
        fault = self.faults.pop(0) if self.faults else ""
        if self.away or fault == "away":
            raise StorageUnavailable("gone")
        return fault

    def _after(self, fault: str) -> None:
        if fault == "unknown":
            raise CommitUnknown("the answer is lost")
        if fault == "cancelled":
            raise asyncio.CancelledError
