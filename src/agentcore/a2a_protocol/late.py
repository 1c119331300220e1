"""The SDK's side, loaded behind the start: its import takes as long as the rest of the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentcore.a2a_protocol.dispatcher import Answer, Caller
from agentcore.a2a_protocol.envelope import Call
from agentcore.a2a_protocol.models.task import TaskQuery
from agentcore.a2a_protocol.sdk.needs import SdkNeeds
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal

if TYPE_CHECKING:
    from agentcore.a2a_protocol.sdk.side import SdkSide

# Long enough for readiness to be told first.
QUIET_SECONDS = 0.5


class LateSdk:
    """Answers the protocol's methods; the first call, or ``warm``, loads what it needs."""

    def __init__(self, needs: SdkNeeds, clock: Clock) -> None:
        self._needs = needs
        self._clock = clock
        self._loading = asyncio.Lock()
        self._side: SdkSide | None = None

    async def warm(self) -> None:
        await self._clock.sleep(QUIET_SECONDS)
        await self.load()

    async def load(self) -> SdkSide:
        if self._side is None:
            async with self._loading:
                if self._side is None:
                    await asyncio.to_thread(_import)
                    self._side = _build(self._needs)
        return self._side

    async def answer(self, call: Call, caller: Caller) -> Answer:
        return await (await self.load()).methods.answer(call, caller)

    async def get(self, principal: Principal, task_id: str) -> JsonObject:
        return await (await self.load()).tasks.get(principal, task_id)

    async def cancel(self, principal: Principal, task_id: str) -> JsonObject:
        return await (await self.load()).tasks.cancel(principal, task_id)

    async def page(self, principal: Principal, query: TaskQuery) -> JsonObject:
        return await (await self.load()).tasks.page(principal, query)

    async def aclose(self) -> None:
        if self._side is not None:
            await self._side.handler.aclose()


def _import() -> None:
    import agentcore.a2a_protocol.sdk.side  # noqa: F401 -- loaded, to be used in the event loop


def _build(needs: SdkNeeds) -> SdkSide:
    from agentcore.a2a_protocol.sdk.side import build_side

    return build_side(needs)
