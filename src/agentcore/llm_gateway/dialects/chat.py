"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway import chat_wire
from agentcore.llm_gateway.models import Dialect


class ChatFormat:
    dialect: Dialect = "chat"

    def parse(self, raw: bytes) -> JsonObject:
        return chat_wire.parse_body(raw)

    def max_tokens(self, body: Mapping[str, JsonValue]) -> int | None:
        return chat_wire.max_tokens_of(body)

    def wants_usage(self, body: Mapping[str, JsonValue]) -> bool:
        return chat_wire.wants_usage(body)

    def error_body(self, error: AgentCoreError) -> bytes:
        return chat_wire.error_body(error)

    def error_event(self, error: AgentCoreError) -> bytes:
        return chat_wire.error_event(error)


CHAT = ChatFormat()
