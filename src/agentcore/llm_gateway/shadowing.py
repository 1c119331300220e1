"""Copies of calls for providers that are looked at: their answers are counted and dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.traffic import ShadowConfig, TrafficConfig


class Shadows:
    """``dropped`` is called for each copy that there is no room for."""

    def __init__(self, config: TrafficConfig, dropped: Callable[[], None]) -> None:
        self._by_model: Mapping[str, ShadowConfig] = {each.model: each for each in config.shadows}
        self._queue: asyncio.Queue[tuple[ChatCall, str]] = asyncio.Queue(config.shadow_queue)
        self._due = dict.fromkeys(self._by_model, 0.0)
        self._dropped = dropped

    @property
    def wanted(self) -> bool:
        return bool(self._by_model)

    def offer(self, call: ChatCall, answered_by: str) -> None:
        """Never waits: what does not fit is dropped."""
        config = self._by_model.get(call.model)
        if config is None or config.provider == answered_by:
            return
        self._due[call.model] += config.share
        if self._due[call.model] < 1:
            return
        self._due[call.model] -= 1
        try:
            self._queue.put_nowait((_whole(call), config.provider))
        except asyncio.QueueFull:
            self._dropped()

    async def run(self, send: Callable[[ChatCall, str], Awaitable[None]]) -> None:
        """Copies one after the other, for as long as the process lives.

        ``send`` asks one provider, and nobody else, for a whole answer.
        """
        while True:
            call, provider = await self._queue.get()
            # A failure is counted where it happened; nobody waits for the answer.
            with suppress(AgentCoreError):
                await send(call, provider)


def _whole(call: ChatCall) -> ChatCall:
    """Not streamed, and the least urgent: a copy must not take the place of a call."""
    body = {
        name: value for name, value in call.body.items() if name not in {"stream", "stream_options"}
    }
    return call._replace(body=body, priority="low", stream=False, deadline=None)
