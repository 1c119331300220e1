"""OpenAI's embeddings: what a caller may ask, and errors as its SDK parses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway import chat_wire
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import Dialect

ENCODINGS = (None, "float", "base64")


class EmbeddingsFormat:
    dialect: Dialect = "embeddings"

    def parse(self, raw: bytes) -> JsonObject:
        body = chat_wire.parse_request(raw)
        if inputs_in(body.get("input")) == 0:
            raise chat_wire.invalid(
                "input", "must be a text, tokens, or a list of texts or of tokens, none empty"
            )
        if body.get("encoding_format") not in ENCODINGS:
            raise chat_wire.invalid("encoding_format", "must be 'float' or 'base64'")
        dimensions = body.get("dimensions")
        if dimensions is not None and not (_is_count(dimensions) and dimensions):
            raise chat_wire.invalid("dimensions", "must be a whole number above 0")
        if body.get("stream"):
            refuse_stream()
        return body

    def max_tokens(self, body: Mapping[str, JsonValue]) -> int | None:
        return None

    def wants_usage(self, body: Mapping[str, JsonValue]) -> bool:
        return False

    def error_body(self, error: AgentCoreError) -> bytes:
        return chat_wire.error_body(error)

    def error_event(self, error: AgentCoreError) -> bytes:
        return chat_wire.error_event(error)


EMBEDDINGS = EmbeddingsFormat()


def inputs_in(value: JsonValue) -> int:
    """How many vectors are asked for; 0 where it is no input."""
    if isinstance(value, str):
        return 1 if value else 0
    if not isinstance(value, list):
        return 0
    if _are_tokens(value):
        return 1
    return len(value) if all(map(_is_single, value)) else 0


def refuse_stream() -> NoReturn:
    raise InvalidChatRequest(
        "embeddings are not streamed", hint="leave out 'stream'", param="stream"
    )


def _is_single(value: JsonValue) -> bool:
    return bool(value) and (isinstance(value, str) or _are_tokens(value))


def _are_tokens(value: JsonValue) -> bool:
    # By the first one: there may be a million of them, and the provider reads them anyway.
    return isinstance(value, list) and bool(value) and _is_count(value[0])


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
