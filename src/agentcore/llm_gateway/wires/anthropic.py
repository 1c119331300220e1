"""Chat completions over Anthropic's Messages API."""

from __future__ import annotations

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_in, object_of
from agentcore.llm_gateway.errors import UpstreamError, UpstreamRejected
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.wire import PlainReply, Scanner
from agentcore.llm_gateway.wires.anthropic_answer import PING, Chunks, chat_completion
from agentcore.llm_gateway.wires.anthropic_request import message_request
from agentcore.llm_gateway.wires.messages import (
    MessageScanner,
    message_body,
    message_failure,
    message_usage,
    parse_message,
)


class AnthropicWire:
    """``clock`` stamps answers: a completion has a time, a message has none."""

    def __init__(self, provider: str, clock: Clock, *, prefix: str = "") -> None:
        self._provider = provider
        self._clock = clock
        self._path = f"{prefix}/messages"

    def path(self, call: ChatCall, model: str) -> str:
        return self._path

    def request(self, call: ChatCall, model: str) -> bytes:
        return message_body(message_request(call, model, self._provider))

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        try:
            message = parse_message(raw, self._provider)
        except UpstreamRejected as failure:
            raise _as_chat(failure) from failure
        usage = message_usage(object_of(message.get("usage")))
        document = chat_completion(message, usage, self._now())
        return PlainReply(orjson.dumps(document), document, usage)

    def scanner(self, call: ChatCall) -> Scanner:
        return ChunkScanner(self._provider, self._now(), wants_usage=call.wants_usage)

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        failure = message_failure(status, raw, self._provider, retry_after=retry_after)
        return _as_chat(failure) if isinstance(failure, UpstreamRejected) else failure

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


class ChunkScanner(MessageScanner):
    """A message's events, verified as they are, told as chunks of a chat completion."""

    __slots__ = ("_chunks", "_wants_usage")

    def __init__(self, provider: str, created: int, *, wants_usage: bool) -> None:
        super().__init__(provider)
        self._chunks = Chunks(created)
        self._wants_usage = wants_usage

    def _forward(self, event: bytes, kind: JsonValue, document: JsonObject) -> bytes:
        chunks = self._chunks
        if kind == "content_block_delta":
            return chunks.part(object_of(document.get("delta")))
        if kind == "content_block_start":
            return chunks.block(object_of(document.get("content_block")))
        if kind == "content_block_stop":
            return chunks.block_end()
        if kind == "message_start":
            return chunks.begin(object_of(document.get("message")))
        if kind == "message_delta":
            return chunks.turn(object_of(document.get("delta")))
        if kind == "message_stop":
            return chunks.end(self.usage if self._wants_usage else None)
        return PING if kind == "ping" else b""

    def _error(self, document: JsonValue) -> UpstreamError | None:
        failure = super()._error(document)
        return _as_chat(failure) if isinstance(failure, UpstreamRejected) else failure


def _as_chat(failure: UpstreamRejected) -> UpstreamRejected:
    """The same complaint, in the words of chat completions."""
    error = object_of(object_in(failure.body).get("error"))
    told = {
        "message": error.get("message", failure.detail),
        "type": error.get("type", "invalid_request_error"),
        "param": None,
        "code": None,
    }
    failure.body = orjson.dumps({"error": told})
    return failure
