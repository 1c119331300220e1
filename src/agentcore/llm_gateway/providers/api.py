"""What model APIs have in common, whatever they speak: an endpoint and a catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Endpoint, Reply
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.models import NOBODY, Condition, Dialect, Owner, Priority
from agentcore.llm_gateway.providers.base import BaseLLMProvider

CATALOG_SECONDS = 300.0
CATALOG_RETRY_SECONDS = 5.0


class APIProvider(BaseLLMProvider):
    """``models`` maps served names to the provider's own; empty means: ask it now and then."""

    def __init__(
        self,
        destination: Destination,
        clock: Clock,
        *,
        endpoint: Endpoint,
        models: Mapping[str, str],
    ) -> None:
        super().__init__(destination, clock)
        self._endpoint = endpoint
        self._configured = bool(models)
        self._models: dict[str, str] | None = dict(models) or None
        self._trouble = ""

    async def send(self, cleared: Cleared) -> Reply:
        call = cleared.for_sending(self.destination)
        return await self._endpoint.send(call, self.upstream_model(call.model) or call.model)

    @property
    def dialects(self) -> frozenset[Dialect]:
        return self._endpoint.dialects

    async def get_available_models(self) -> list[str]:
        if not self._configured:
            self._models = {name: name for name in await self._endpoint.models()}
        return list(self._models or ())

    def upstream_model(self, served: str) -> str | None:
        return None if self._models is None else self._models.get(served)

    def served_models(self) -> tuple[str, ...] | None:
        return None if self._models is None else tuple(self._models)

    @property
    def gate(self) -> Gate:
        return self._endpoint.gate

    def condition(self, priority: Priority = "medium", owner: Owner = NOBODY) -> Condition:
        gate = self._endpoint.gate
        wait = gate.forecast(priority, owner)
        free = wait == 0.0
        return Condition(
            has_capacity=free,
            load=gate.load,
            why=self._trouble if free else "at its concurrency limit",
            wait=wait,
            retry_after=0.0 if free else gate.wait(priority, owner),
        )

    async def watch(self) -> None:
        """Ask for the catalogue now and then; a failure to answer is the provider's, not ours."""
        while not self._configured:
            pause = CATALOG_SECONDS
            try:
                await self.get_available_models()
                self._trouble = ""
            except UpstreamError as error:
                self._trouble = error.detail
                pause = CATALOG_RETRY_SECONDS
            await self._clock.sleep(pause)
