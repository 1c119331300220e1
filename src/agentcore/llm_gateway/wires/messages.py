"""Anthropic's Messages API for callers who speak it themselves: bytes pass through.

https://platform.claude.com/docs/en/api/messages: fields this module does not name pass through.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_in, object_of
from agentcore.llm_gateway.chat_wire import document_of, failure_of, token_count, written
from agentcore.llm_gateway.dialects.messages_answer import OWN_SIGNATURE
from agentcore.llm_gateway.errors import (
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.sse import EventReader
from agentcore.llm_gateway.wire import PlainReply, Scanner

# Blocks that begin empty and grow by deltas; any other is content as soon as it begins.
GROWING = frozenset({"text", "thinking"})
# The gateway's own mark in `metadata`: Anthropic refuses members that it does not know.
PRIVATE_MARK = "agentcore_private"
EMPTY_TURN: JsonObject = {"role": "assistant", "content": []}
# A 400 that tells of the account, not of the request.
SPENT = ("_spend_limit_reached",)


class MessagesWire:
    """``prefix`` is what stands between the provider's base URL and ``/messages``."""

    def __init__(self, provider: str, *, prefix: str = "") -> None:
        self._provider = provider
        self._path = f"{prefix}/messages"

    def path(self, call: ChatCall, model: str) -> str:
        return self._path

    def request(self, call: ChatCall, model: str) -> bytes:
        return message_body({**call.body, "model": model})

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = parse_message(raw, self._provider)
        return PlainReply(raw, document, message_usage(object_of(document.get("usage"))))

    def scanner(self, call: ChatCall) -> Scanner:
        return MessageScanner(self._provider)

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return message_failure(status, raw, self._provider, retry_after=retry_after)


class MessageScanner(EventReader):
    """A message is whole when it has said why it stopped, closed its blocks and told its stop."""

    __slots__ = ("_open", "_stopped", "_told")

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._open: set[int] = set()
        self._stopped = False
        self._told: JsonObject = {}

    @property
    def whole(self) -> bool:
        return self.done and self._stopped and not self._open

    def _forward(self, event: bytes, kind: JsonValue, document: JsonObject) -> bytes:
        """What the caller gets for a sound event."""
        return event

    def _read(self, event: bytes, document: JsonObject) -> bytes:
        if self.done:
            return b""
        kind = document.get("type")
        if kind == "content_block_delta":
            if _index(document) not in self._open:
                return self._malformed("continued a block that it had not begun")
            self.committed = True
        elif kind == "content_block_start":
            self._begin(document)
        elif kind == "content_block_stop":
            self._open.discard(_index(document))
        elif kind == "message_start":
            # Of the answer nothing is written yet: its count comes with the end of the turn.
            self._learn(object_of(object_of(document.get("message")).get("usage")))
        elif kind == "message_delta":
            self._turn(document)
        elif kind == "message_stop":
            self._count({})
            self.done = True
            # Forwarded only behind a whole answer; end() tells the caller otherwise.
            return self._forward(event, kind, document) if self.whole else b""
        return self._forward(event, kind, document)

    def _begin(self, document: JsonObject) -> None:
        self._open.add(_index(document))
        block = object_of(document.get("content_block"))
        kind = str(block.get("type"))
        self.committed = self.committed or kind not in GROWING or bool(block.get(kind))

    def _turn(self, document: JsonObject) -> None:
        if object_of(document.get("delta")).get("stop_reason") is not None:
            self._stopped = self.committed = True
        self._count(object_of(document.get("usage")))

    def _learn(self, usage: JsonObject) -> None:
        """Counts are cumulative: later ones replace earlier ones, where they are given."""
        self._told.update({name: count for name, count in usage.items() if count is not None})

    def _count(self, usage: JsonObject) -> None:
        self._learn(usage)
        self.usage = message_usage(self._told) or self.usage


def message_body(body: JsonObject) -> bytes:
    """``body`` as Anthropic takes it: without what is only the gateway's business, its own mark and
    the thoughts of others, whose signature is none.

    Raises:
        InvalidChatRequest: it is nested deeper than can be written.
    """
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and PRIVATE_MARK in metadata:
        kept = {name: value for name, value in metadata.items() if name != PRIVATE_MARK}
        body = {**body, "metadata": kept}
    messages = list_of(body.get("messages"))
    if any(map(_has_foreign_thoughts, messages)):
        own = [_own(message) if isinstance(message, dict) else message for message in messages]
        # A turn of nothing but such thoughts is no turn.
        body = {**body, "messages": [each for each in own if each != EMPTY_TURN]}
    return written(body, "messages")


def _has_foreign_thoughts(message: JsonValue) -> bool:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return False
    content = message.get("content")
    return isinstance(content, list) and any(map(_is_foreign_thought, content))


def _is_foreign_thought(block: JsonValue) -> bool:
    return isinstance(block, dict) and block.get("signature") == OWN_SIGNATURE


def _own(message: JsonObject) -> JsonObject:
    if not _has_foreign_thoughts(message):
        return message
    kept = [block for block in list_of(message["content"]) if not _is_foreign_thought(block)]
    return {**message, "content": kept}


def message_usage(usage: Mapping[str, JsonValue]) -> TokenUsage | None:
    """Tokens of a message; None where the counts are missing.

    Anthropic's ``input_tokens`` are those that were neither read from its cache nor written to it.
    """
    fresh, output = token_count(usage.get("input_tokens")), token_count(usage.get("output_tokens"))
    if fresh is None or output is None:
        return None
    read = token_count(usage.get("cache_read_input_tokens")) or 0
    made = token_count(usage.get("cache_creation_input_tokens")) or 0
    kept = object_of(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")
    thought = object_of(usage.get("output_tokens_details")).get("thinking_tokens")
    searches = object_of(usage.get("server_tool_use")).get("web_search_requests")
    prompt = fresh + read + made
    return TokenUsage(
        prompt,
        output,
        prompt + output,
        cached_tokens=read,
        reasoning_tokens=token_count(thought) or 0,
        cache_write_tokens=made,
        cache_write_1h_tokens=token_count(kept) or 0,
        web_searches=token_count(searches) or 0,
    )


def parse_message(raw: bytes, provider: str) -> JsonObject:
    """A complete answer's document.

    Raises:
        UpstreamError: it is an error, or no message at all.
    """
    document = document_of(raw, provider)
    if not isinstance(document.get("content"), list):
        raise UpstreamMalformed(f"{provider} answered without content", provider=provider)
    return document


def message_failure(
    status: int, raw: bytes, provider: str, *, retry_after: float | None
) -> UpstreamError:
    """What a status other than 200 means."""
    error = object_of(object_in(raw).get("error"))
    code = str(object_of(error.get("details")).get("error_code"))
    if error.get("type") == "billing_error" or code.endswith(SPENT):
        # The account that pays is the operator's: the caller's request is as good as before.
        return UpstreamCredentialRefused(
            f"{provider} refuses to be charged ({status})",
            hint="look at the limits and the balance of this provider's account",
            provider=provider,
        )
    return failure_of(status, raw, provider, retry_after=retry_after)


def _index(document: JsonObject) -> int:
    index = document.get("index")
    return index if isinstance(index, int) else 0
