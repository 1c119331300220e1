"""Messages of Anthropic's as chat completions, whole and in a stream.

Thinking is told twice: as ``reasoning_content`` for those who read it, and as ``thinking_blocks``
with Anthropic's signature, which a caller may send back with the assistant's message.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.llm_gateway.chat_wire import called_with
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.sse import DONE

# What is not complete must not read as if it were: a paused turn is one that was cut short.
FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# These words say all that Anthropic's do; of the others the original is told beside.
SAME = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
TIERS: Mapping[str, str] = {"standard": "default", "priority": "priority"}
# A tuple: the value to look for may be anything that JSON knows.
THOUGHTS = ("thinking", "redacted_thinking")
UNFINISHED: JsonObject = {"finish_reason": None}
# Signs of life are for whoever waits; callers of chat completions know none but comments.
PING = b": ping"


def chat_completion(
    document: Mapping[str, JsonValue], usage: TokenUsage | None, created: int
) -> JsonObject:
    blocks = objects_of(document.get("content"))
    reason = str(document.get("stop_reason"))
    made: JsonObject = {
        "id": document.get("id"),
        "object": "chat.completion",
        "created": created,
        "model": document.get("model"),
        "choices": [
            {
                "index": 0,
                "message": _message(blocks, object_of(document.get("stop_details"))),
                "logprobs": None,
                **_finish(reason),
            }
        ],
        "usage": None if usage is None else usage_document(usage),
    }
    tier = TIERS.get(str(object_of(document.get("usage")).get("service_tier")))
    return made if tier is None else {**made, "service_tier": tier}


def usage_document(usage: TokenUsage) -> JsonObject:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _finish(reason: str) -> JsonObject:
    told: JsonObject = {"finish_reason": FINISH_REASONS.get(reason, "stop")}
    return told if reason in SAME else {**told, "native_finish_reason": reason}


def _message(blocks: list[JsonObject], stopped: JsonObject) -> JsonObject:
    texts = [str(block.get("text", "")) for block in blocks if block.get("type") == "text"]
    message: JsonObject = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": stopped.get("explanation"),
    }
    thoughts: list[JsonValue] = [block for block in blocks if block.get("type") in THOUGHTS]
    reasoning = "".join(str(block.get("thinking", "")) for block in objects_of(thoughts))
    if reasoning:
        message["reasoning_content"] = reasoning
    if thoughts:
        message["thinking_blocks"] = thoughts
    calls: list[JsonValue] = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: JsonObject) -> JsonObject:
    arguments = called_with(object_of(block.get("input")))
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


class Chunks:
    """The chunks of one stream, event by event; each is written without the last blank line."""

    __slots__ = (
        "_argued",
        "_calls",
        "_created",
        "_head",
        "_kind",
        "_signature",
        "_start",
        "_thought",
        "_thoughts",
    )

    def __init__(self, created: int) -> None:
        self._created = created
        self._start = self._head = b""
        self._kind: JsonValue = None
        self._thought: list[str] = []
        self._signature = ""
        self._thoughts = 0
        self._calls = -1
        self._argued = False

    def begin(self, message: JsonObject) -> bytes:
        stamp = {
            "id": message.get("id"),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": message.get("model"),
        }
        self._start = b"data: " + orjson.dumps(stamp)[:-1]
        self._head = self._start + b',"choices":[{"index":0,"delta":'
        return self._chunk({"role": "assistant", "content": ""})

    def block(self, block: JsonObject) -> bytes:
        """A block begins: a tool's call tells its id and name then, and no more later."""
        self._kind = kind = block.get("type")
        if kind == "tool_use":
            self._calls += 1
            given = block.get("input")
            arguments = called_with(given) if given else ""
            self._argued = bool(arguments)
            function: JsonObject = {"name": block.get("name"), "arguments": arguments}
            call: JsonObject = {"id": block.get("id"), "type": "function", "function": function}
            return self._chunk({"tool_calls": [{"index": self._calls, **call}]})
        if kind == "redacted_thinking":
            return self._thoughts_told(block)
        if kind == "thinking":
            self._thought, self._signature = [], str(block.get("signature") or "")
            return self._thinking(block.get("thinking"))
        return self._text(block.get("text")) if kind == "text" else b""

    def part(self, delta: JsonObject) -> bytes:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._text(delta.get("text"))
        if kind == "input_json_delta" and self._kind == "tool_use":
            return self._arguments(delta.get("partial_json"))
        if kind == "thinking_delta":
            return self._thinking(delta.get("thinking"))
        if kind == "signature_delta":
            self._signature += str(delta.get("signature", ""))
        return b""

    def block_end(self) -> bytes:
        kind, self._kind = self._kind, None
        if kind == "thinking":
            thinking = "".join(self._thought)
            block: JsonObject = {"type": "thinking", "thinking": thinking}
            return self._thoughts_told({**block, "signature": self._signature})
        # A call without parameters has no part at all, and no text is no JSON.
        return self._arguments("{}") if kind == "tool_use" and not self._argued else b""

    def turn(self, delta: JsonObject) -> bytes:
        reason = delta.get("stop_reason")
        if reason is None:
            return b""
        explanation = object_of(delta.get("stop_details")).get("explanation")
        told: JsonObject = {} if explanation is None else {"refusal": explanation}
        return self._chunk(told, _finish(str(reason)))

    def end(self, usage: TokenUsage | None) -> bytes:
        """``usage`` where the caller has asked for it."""
        done = DONE.rstrip()
        if usage is None:
            return done
        last = b',"choices":[],"usage":' + orjson.dumps(usage_document(usage)) + b"}\n\n"
        return self._start + last + done

    def _chunk(self, delta: JsonObject, finish: JsonObject = UNFINISHED) -> bytes:
        tail = b',"logprobs":null,' + orjson.dumps(finish)[1:] + b"]}"
        return self._head + orjson.dumps(delta) + tail

    def _text(self, text: JsonValue) -> bytes:
        return self._chunk({"content": text}) if text else b""

    def _thinking(self, thinking: JsonValue) -> bytes:
        if not thinking:
            return b""
        self._thought.append(str(thinking))
        return self._chunk({"reasoning_content": thinking})

    def _thoughts_told(self, block: JsonObject) -> bytes:
        # The index lets SDKs that add up deltas keep these apart.
        told = self._chunk({"thinking_blocks": [{"index": self._thoughts, **block}]})
        self._thoughts += 1
        return told

    def _arguments(self, part: JsonValue) -> bytes:
        if not part:
            return b""
        self._argued = True
        function: JsonObject = {"arguments": part}
        return self._chunk({"tool_calls": [{"index": self._calls, "function": function}]})
