"""What the ingress needs to know of a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.models import Dialect


class Format(Protocol):
    @property
    def dialect(self) -> Dialect: ...

    def parse(self, raw: bytes) -> JsonObject:
        """The caller's document, checked as far as routing needs it; ``model`` is a text.

        Raises:
            InvalidChatRequest: it cannot be routed.
        """
        ...

    def max_tokens(self, body: Mapping[str, JsonValue]) -> int | None: ...

    def wants_usage(self, body: Mapping[str, JsonValue]) -> bool:
        """Whether the events of a stream shall tell the usage."""
        ...

    def error_body(self, error: AgentCoreError) -> bytes:
        """A refusal as the callers' SDKs parse it."""
        ...

    def error_event(self, error: AgentCoreError) -> bytes:
        """The last event of a stream that failed after its begin."""
        ...
