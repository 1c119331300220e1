"""Anthropic's messages: what a caller may ask, errors as its SDK parses them, and the translation
for providers that do not speak them.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_in, object_of
from agentcore.llm_gateway import chat_wire
from agentcore.llm_gateway.dialects.messages_answer import message_of
from agentcore.llm_gateway.dialects.messages_events import MessageEvents
from agentcore.llm_gateway.dialects.messages_request import chat_request
from agentcore.llm_gateway.errors import InvalidChatRequest, UpstreamRejected
from agentcore.llm_gateway.models import ChatCall, Dialect
from agentcore.llm_gateway.translation import unsaid

# A tuple: the value to look for may be anything that JSON knows.
ROLES = ("user", "assistant", "system")
ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesFormat:
    dialect: Dialect = "messages"

    def parse(self, raw: bytes) -> JsonObject:
        body = chat_wire.parse_request(raw)
        limit = body.get("max_tokens")
        if limit is None:
            raise chat_wire.invalid("max_tokens", "is required", "the most tokens to answer with")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise chat_wire.invalid("max_tokens", "must be a whole number")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise chat_wire.invalid("messages", "must be a list with at least one message")
        for at, message in enumerate(messages):
            _check(message, at)
        if not isinstance(body.get("system") or "", str | list):
            raise chat_wire.invalid("system", "must be a text or a list of text blocks")
        return body

    def max_tokens(self, body: Mapping[str, JsonValue]) -> int | None:
        return chat_wire.token_count(body.get("max_tokens")) or None

    def wants_usage(self, body: Mapping[str, JsonValue]) -> bool:
        return True

    def error_body(self, error: AgentCoreError) -> bytes:
        """A provider's own complaint is passed on where it speaks as Anthropic does."""
        if isinstance(error, UpstreamRejected) and object_in(error.body).get("type") == "error":
            return error.body
        message = f"{error.detail}; {error.hint}" if error.hint else error.detail
        return _document(chat_wire.error_status(error), message, code=error.code)

    def error_event(self, error: AgentCoreError) -> bytes:
        return b"event: error\ndata: " + self.error_body(error) + b"\n\n"


MESSAGES = MessagesFormat()


class MessagesTranslation:
    """``provider`` is named where its chat completions cannot express a request; ``limit`` is its
    word for the most tokens, and ``thoughts`` the member in which it takes back what a model has
    thought, empty where it takes none.
    """

    def __init__(
        self, provider: str, *, limit: str = "max_tokens", thoughts: str = "reasoning_content"
    ) -> None:
        self._provider = provider
        self._limit = limit
        self._thoughts = thoughts

    def to_chat(self, body: Mapping[str, JsonValue]) -> JsonObject:
        try:
            return chat_request(body, limit=self._limit, thoughts=self._thoughts)
        except InvalidChatRequest as error:
            raise unsaid(error, self._provider) from error

    def answer(self, document: JsonObject, call: ChatCall) -> JsonObject:
        return message_of(document, call, self._provider)

    def events(self, call: ChatCall) -> MessageEvents:
        return MessageEvents(call, self._provider)

    def rejection(self, body: bytes) -> bytes:
        error = object_of(object_in(body).get("error"))
        message = error.get("message")
        return _document(400, str(message) if message else "the provider refuses the request")


def _check(message: JsonValue, at: int) -> None:
    where = f"messages.{at}"
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise chat_wire.invalid(where, "must have the role 'user' or 'assistant'")
    if not isinstance(message.get("content"), str | list):
        raise chat_wire.invalid(f"{where}.content", "must be a text or a list of blocks")


def _document(status: int, message: str, *, code: str = "") -> bytes:
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error: JsonObject = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return orjson.dumps({"type": "error", "error": error})
