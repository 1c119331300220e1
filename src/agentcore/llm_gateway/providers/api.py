"""What model APIs have in common, whatever they speak: an endpoint and a catalogue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import ClassVar

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.catalogue import MODELS, Catalogue
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Endpoint, Reply, json_headers
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.models import (
    ASK,
    DEFAULT_TIMEOUTS,
    NOBODY,
    ChatCall,
    Condition,
    Dialect,
    Owner,
    Priority,
    Timeouts,
)
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from agentcore.llm_gateway.wire import Wire

CATALOG_SECONDS = 300.0
CATALOG_RETRY_SECONDS = 5.0


class APIProvider(BaseLLMProvider):
    """``base_url`` goes up to and with the API's version.

    ``models`` maps served names to the provider's own; empty means: ask it now and then.
    """

    catalogue: ClassVar[Catalogue] = MODELS

    def __init__(
        self,
        base_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        super().__init__(destination, clock)
        name = destination.name
        transport = Transport(
            pool,
            base_url,
            provider=name,
            connect_seconds=timeouts.connect,
            headers=self.headers(api_key),
        )
        self._endpoint = Endpoint(
            transport,
            self.wires(name),
            provider=name,
            timeouts=timeouts,
            clock=clock,
            gate=gate,
            catalogue=self.catalogue,
            headers=self.headers_of_call(),
        )
        self._configured = bool(models)
        self._models: dict[str, str] | None = dict(models) or None
        self._trouble = ""

    @abstractmethod
    def wires(self, provider: str) -> Mapping[Dialect, Wire]:
        """How calls in each dialect are put to ``provider``: its own way, or by translation."""

    @staticmethod
    def headers(api_key: str | None) -> Mapping[str, str]:
        """What every request has in its head."""
        return json_headers(api_key)

    @staticmethod
    def headers_of_call() -> Callable[[ChatCall], bytes] | None:
        """What gives the lines that only one call's request has in its head, if there are any."""
        return None

    def send(self, cleared: Cleared) -> Coroutine[None, None, Reply]:
        call = cleared.for_sending(self.destination)
        return self._endpoint.send(call, self.upstream_model(call.model) or call.model)

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
        if gate.free(priority):
            asked = gate.outstanding
            return Condition(
                load=gate.load_of(asked), why=self._trouble, wait=0.0, outstanding=asked
            )
        return Condition(
            has_capacity=False,
            load=gate.load,
            why="at its concurrency limit",
            wait=gate.forecast(priority, owner),
            retry_after=gate.wait(priority, owner),
            outstanding=gate.outstanding,
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
