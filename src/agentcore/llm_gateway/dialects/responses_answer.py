"""Chat completions as responses: the document of an answer, and the parts that events share."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.chat_wire import first_choice, text_in, thought_in, usage_of
from agentcore.llm_gateway.dialects.responses_input import seal
from agentcore.llm_gateway.models import ChatCall, TokenUsage

# Why an answer stopped before its end; any other reason is a good one.
CUT_SHORT: Mapping[str, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
PLAIN_TEXT: JsonObject = {"format": {"type": "text"}}
ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "temperature",
    "top_p",
    "user",
)


class Draft:
    """The response to one call, from the first that is known of its answer."""

    __slots__ = ("_call", "_created", "_model", "_tier", "key")

    def __init__(self, call: ChatCall, answer: Mapping[str, JsonValue]) -> None:
        created = answer.get("created")
        self._call = call
        self._created = created if isinstance(created, int | float) else 0
        self._model = answer.get("model") or call.model
        self._tier = answer.get("service_tier")
        # Unique as the answer's own id may not be, and the same however often it is translated.
        told = f"{call.trace_id}/{answer.get('id')}/{created}"
        self.key = blake2b(told.encode("utf-8", "replace"), digest_size=16).hexdigest()

    def item_id(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self.key}_{index}"

    def response(
        self,
        status: str,
        *,
        output: list[JsonValue],
        usage: TokenUsage | None = None,
        cut: str | None = None,
    ) -> JsonObject:
        """``cut`` is why the answer is incomplete; it decides the status."""
        body = self._call.body
        reasoning = object_of(body.get("reasoning"))
        return {
            "id": f"resp_{self.key}",
            "object": "response",
            "created_at": self._created,
            "status": status if cut is None else "incomplete",
            "background": False,
            "error": None,
            "incomplete_details": None if cut is None else {"reason": cut},
            **{name: body.get(name) for name in ECHOED},
            "metadata": object_of(body.get("metadata")),
            "model": self._model,
            "output": output,
            "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "service_tier": self._tier,
            "store": False,
            "text": body.get("text") or PLAIN_TEXT,
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": list_of(body.get("tools")),
            "top_logprobs": body.get("top_logprobs") or 0,
            "truncation": "disabled",
            "usage": None if usage is None else usage_document(usage),
        }


def cut_short(finish: JsonValue) -> str | None:
    """Why an answer that ended so is not complete; None where it is."""
    return CUT_SHORT.get(finish) if isinstance(finish, str) else None


def response_of(document: JsonObject, call: ChatCall) -> JsonObject:
    """The first choice of a chat completion as a response."""
    draft = Draft(call, document)
    choice = first_choice(document)
    cut = cut_short(choice.get("finish_reason"))
    output = _output(choice, draft, "completed" if cut is None else "incomplete")
    usage = usage_of(document.get("usage"))
    return draft.response("completed", output=[*output], usage=usage, cut=cut)


def _output(choice: JsonObject, draft: Draft, status: str) -> list[JsonObject]:
    """Thoughts, words and calls; what the answer broke off in has the ``status``."""
    message = object_of(choice.get("message"))
    items: list[JsonObject] = []
    thought = thought_in(message)
    blocks = list_of(message.get("thinking_blocks"))
    if thought or blocks:
        items.append(reasoning_item(draft.item_id("rs", 0), thought, blocks))
    calls = objects_of(message.get("tool_calls"))
    parts = _parts(message, list_of(object_of(choice.get("logprobs")).get("content")))
    if parts or not (items or calls):
        name = draft.item_id("msg", len(items))
        items.append(message_item(name, parts or [text_part("")]))
    if not calls:
        items[-1]["status"] = status
    for call in calls:
        items.append(call_item(draft.item_id("fc", len(items)), call, status))
    return items


def _parts(message: JsonObject, logprobs: list[JsonValue]) -> list[JsonValue]:
    parts: list[JsonValue] = []
    text = text_in(message.get("content"))
    if text or logprobs:
        notes: list[JsonValue] = [annotation(each) for each in list_of(message.get("annotations"))]
        parts.append(text_part(text, notes, [logprob(each) for each in objects_of(logprobs)]))
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return parts


def reasoning_item(name: str, thought: str, blocks: list[JsonValue]) -> JsonObject:
    content: list[JsonValue] = [{"type": "reasoning_text", "text": thought}] if thought else []
    item: JsonObject = {
        "id": name,
        "type": "reasoning",
        "status": "completed",
        "summary": [],
        "content": content,
    }
    if blocks:
        item["encrypted_content"] = seal(blocks)
    return item


def message_item(name: str, parts: list[JsonValue], status: str = "completed") -> JsonObject:
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": parts}


def call_item(name: str, call: JsonObject, status: str) -> JsonObject:
    function = object_of(call.get("function"))
    item: JsonObject = {
        "id": name,
        "type": "function_call",
        "status": status,
        "call_id": call.get("id") or name.replace("fc_", "call_", 1),
        "name": function.get("name") or "",
        "arguments": function.get("arguments") or "",
    }
    if call.get("extra_content") is not None:
        # What its provider must see again with the call, as Gemini's signatures of thoughts.
        item["extra_content"] = call["extra_content"]
    return item


def text_part(
    text: str,
    annotations: list[JsonValue] | None = None,
    logprobs: list[JsonValue] | None = None,
) -> JsonObject:
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations or [],
        "logprobs": logprobs or [],
    }


def annotation(note: JsonValue) -> JsonValue:
    """Chat completions have the members of a citation one level deeper."""
    known = object_of(note)
    kind = known.get("type")
    inner = known.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else note


def logprob(token: JsonObject) -> JsonValue:
    """The same members; responses never have null for the bytes."""
    others: list[JsonValue] = [
        {**each, "bytes": each.get("bytes") or []} for each in objects_of(token.get("top_logprobs"))
    ]
    return {**token, "bytes": token.get("bytes") or [], "top_logprobs": others}


def usage_document(usage: TokenUsage) -> JsonObject:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
