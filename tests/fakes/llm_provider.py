"""A provider in memory: answers or fails as told, and records every byte it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import FixedLimit, Gate
from agentcore.llm_gateway.chat_wire import parse_answer, upstream_body, usage_of
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.models import NOBODY, Condition, Dialect, Owner, Priority
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_upstream import completion

READY = Condition()


class FakeProvider(BaseLLMProvider):
    """``failures`` are raised one per call before it answers."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        private: bool = False,
        self_hosted: bool = False,
        models: Iterable[str] | None = ("m",),
        failures: Iterable[BaseException] = (),
        condition: Condition = READY,
        dialects: Iterable[Dialect] = ("chat",),
    ) -> None:
        super().__init__(Destination(name, private=private, self_hosted=self_hosted), clock)
        self.models = None if models is None else tuple(models)
        self.failures = list(failures)
        self._gate = Gate(FixedLimit(None, clock), clock)
        self.told = condition
        self._dialects = frozenset(dialects)
        self.seen: list[bytes] = []
        # It answers when this is set.
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, cleared: Cleared) -> Reply:
        call = cleared.for_sending(self.destination)
        self.seen.append(upstream_body(call, call.model))
        await self.free.wait()
        if self.failures:
            raise self.failures.pop(0)
        raw = orjson.dumps(completion(f"from {self.destination.name}"))
        document = parse_answer(raw, self.destination.name)
        return PlainReply(raw, document, usage_of(document["usage"]))

    @property
    def dialects(self) -> frozenset[Dialect]:
        return self._dialects

    async def get_available_models(self) -> list[str]:
        return list(self.models or ())

    def upstream_model(self, served: str) -> str | None:
        return served if served in (self.models or ()) else None

    def served_models(self) -> tuple[str, ...] | None:
        return self.models

    def condition(self, priority: Priority = "medium", owner: Owner = NOBODY) -> Condition:
        return self.told

    @property
    def gate(self) -> Gate:
        return self._gate

    async def watch(self) -> None:
        return
