"""OpenAI's responses: what a caller may ask, errors as its SDK parses them, and the translation
for providers that do not speak it.

Nothing is kept between calls. What refers to an earlier response is refused where it would have to
be kept here; ``store`` may be left out, which then means no, or be false.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_in, object_of
from agentcore.llm_gateway import chat_wire
from agentcore.llm_gateway.dialects.responses_answer import response_of
from agentcore.llm_gateway.dialects.responses_events import ResponseEvents
from agentcore.llm_gateway.dialects.responses_request import chat_request
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import ChatCall, Dialect
from agentcore.llm_gateway.translation import unsaid

# Where a conversation may be instead of in the input.
ELSEWHERE = ("prompt", "previous_response_id", "conversation")
# Behind all events that came before: how many these were is not known where the stream failed.
LAST_NUMBER = 2**31 - 1


class ResponsesFormat:
    dialect: Dialect = "responses"

    def parse(self, raw: bytes) -> JsonObject:
        body = chat_wire.parse_request(raw)
        given = body.get("input")
        if given is None and any(body.get(name) is not None for name in ELSEWHERE):
            return self._checked(body)
        if not isinstance(given, str | list) or not given:
            raise chat_wire.invalid("input", "must be a text or a list of items, not empty")
        if isinstance(given, list) and not all(isinstance(item, dict) for item in given):
            raise chat_wire.invalid("input", "must hold objects, or be a text")
        return self._checked(body)

    def _checked(self, body: JsonObject) -> JsonObject:
        if body.get("background"):
            raise chat_wire.invalid(
                "background",
                "is true: nobody could fetch the response, none is kept here",
                "leave it out, and stream if it takes long",
            )
        return body

    def max_tokens(self, body: Mapping[str, JsonValue]) -> int | None:
        return chat_wire.whole_number(body.get("max_output_tokens")) or None

    def wants_usage(self, body: Mapping[str, JsonValue]) -> bool:
        return True

    def error_body(self, error: AgentCoreError) -> bytes:
        return chat_wire.error_body(error)

    def error_event(self, error: AgentCoreError) -> bytes:
        """As the API's reference has it, and nested as OpenAI sends it: its SDKs raise on that."""
        told = object_of(object_in(chat_wire.error_body(error)).get("error"))
        event: JsonObject = {
            "type": "error",
            "sequence_number": LAST_NUMBER,
            "code": told.get("code"),
            "message": told.get("message"),
            "param": told.get("param"),
            "error": told,
        }
        return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


RESPONSES = ResponsesFormat()


class ResponsesTranslation:
    """``provider`` is named where its chat completions cannot express a request."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def to_chat(self, body: Mapping[str, JsonValue]) -> JsonObject:
        try:
            return chat_request(body)
        except InvalidChatRequest as error:
            raise unsaid(error, self._provider) from error

    def answer(self, document: JsonObject, call: ChatCall) -> JsonObject:
        return response_of(document, call)

    def events(self, call: ChatCall) -> ResponseEvents:
        return ResponseEvents(call)

    def rejection(self, body: bytes) -> bytes:
        # Both APIs have the same form of errors.
        return body
