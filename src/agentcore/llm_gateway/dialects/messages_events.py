"""The chunks of a chat completion as the events of a message.

A block is told from its beginning to its end before the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.llm_gateway.chat_wire import first_choice, text_in, thought_in
from agentcore.llm_gateway.dialects.messages_answer import (
    OWN_SIGNATURE,
    draft,
    stop_of,
    tool_use,
    usage_document,
)
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessageEvents:
    __slots__ = ("_call", "_choice", "_index", "_made", "_message", "_open", "_provider", "_tool")

    def __init__(self, call: ChatCall, provider: str) -> None:
        self._call = call
        self._provider = provider
        self._made: JsonObject = {}
        self._index = -1
        # The kind of the block that has begun; None between blocks.
        self._open: str | None = None
        self._tool: tuple[JsonValue, JsonValue] = (None, None)
        # What is needed of the answer to say why it stopped.
        self._choice: JsonObject = {}
        self._message: JsonObject = {}

    def feed(self, chunk: Mapping[str, JsonValue]) -> bytes:
        """
        Raises:
            UpstreamMalformed: calls of tools are told in an order that no message can have.
        """
        out = b"" if self._made else self._begin(chunk)
        choice = first_choice(chunk)
        if not choice or choice.get("index", 0) != 0:
            return out
        delta = object_of(choice.get("delta"))
        out += self._grow("thinking", "thinking_delta", thought_in(delta))
        out += self._grow("text", "text_delta", text_in(delta.get("content")))
        if delta.get("refusal"):
            refusal = text_in(delta["refusal"])
            self._message["refusal"] = text_in(self._message.get("refusal")) + refusal
            out += self._grow("text", "text_delta", refusal)
        for call in objects_of(delta.get("tool_calls")):
            out += self._call_part(call)
        if choice.get("finish_reason") is not None:
            self._choice = choice
        return out

    def end(self, usage: TokenUsage | None) -> bytes:
        stop = stop_of(self._choice, self._call, self._message)
        turn: JsonObject = {
            "type": "message_delta",
            "delta": stop,
            "usage": usage_document(usage),
        }
        return self._close() + _event("message_delta", turn) + STOP

    def _begin(self, chunk: Mapping[str, JsonValue]) -> bytes:
        self._made = draft(chunk, self._call)
        message: JsonObject = {
            **self._made,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # The provider counts when it is done: the last event corrects this.
            "usage": usage_document(None),
        }
        return _event("message_start", {"type": "message_start", "message": message})

    def _grow(self, kind: str, growth: str, text: str) -> bytes:
        """More of a block of ``kind``, which begins where another one is open."""
        if not text:
            return b""
        out = b"" if self._open == kind else self._start(kind, {"type": kind, kind: ""})
        return out + self._delta({"type": growth, kind: text})

    def _call_part(self, call: JsonObject) -> bytes:
        out = b""
        # Servers number the calls, or name them, or both; some give every call the same number.
        tool = (call.get("index"), call.get("id") or self._tool[1])
        if self._open != "tool_use" or tool != self._tool:
            if not object_of(call.get("function")).get("name"):
                raise UpstreamMalformed(
                    f"{self._provider} went back to a call of a tool that it had left",
                    provider=self._provider,
                )
            self._tool = (call.get("index"), call.get("id"))
            self._message["tool_calls"] = True
            block = tool_use(call, self._made, self._index + 1)
            out = self._start("tool_use", {**block, "input": {}})
        arguments = object_of(call.get("function")).get("arguments")
        if isinstance(arguments, dict):
            arguments = orjson.dumps(arguments).decode()
        if not arguments:
            return out
        return out + self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _start(self, kind: str, block: JsonObject) -> bytes:
        closed = self._close()
        self._index += 1
        self._open = kind
        if kind == "thinking":
            block["signature"] = ""
        start: JsonObject = {
            "type": "content_block_start",
            "index": self._index,
            "content_block": block,
        }
        return closed + _event("content_block_start", start)

    def _close(self) -> bytes:
        kind, self._open = self._open, None
        if kind is None:
            return b""
        signed = b""
        if kind == "thinking":
            signed = self._delta({"type": "signature_delta", "signature": OWN_SIGNATURE})
        stop: JsonObject = {"type": "content_block_stop", "index": self._index}
        return signed + _event("content_block_stop", stop)

    def _delta(self, delta: JsonObject) -> bytes:
        part: JsonObject = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return _event("content_block_delta", part)


def _event(name: str, document: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(document))
