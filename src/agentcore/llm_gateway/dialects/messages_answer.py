"""Chat completions as messages: the document of an answer, and the parts that events share."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.jsonvalue import (
    JsonObject,
    JsonValue,
    list_of,
    nested_deeper,
    object_of,
    objects_of,
)
from agentcore.llm_gateway.chat_wire import (
    DEEPEST_ARGUMENTS,
    first_choice,
    text_in,
    thought_in,
    usage_of,
)
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage

# What stands where Anthropic signs thoughts. Callers send it back; Anthropic must not see it.
OWN_SIGNATURE = "agentcore"
STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
TIERS: Mapping[str, str] = {"default": "standard", "priority": "priority"}


def message_of(document: JsonObject, call: ChatCall, provider: str) -> JsonObject:
    """The first choice of a chat completion as a message.

    Raises:
        UpstreamMalformed: it calls a tool with something that Anthropic's form cannot hold.
    """
    choice = first_choice(document)
    message = object_of(choice.get("message"))
    content: list[JsonValue] = []
    thought = thought_in(message)
    if thought:
        content.append({"type": "thinking", "thinking": thought, "signature": OWN_SIGNATURE})
    said = text_in(message.get("content")) + text_in(message.get("refusal"))
    if said:
        content.append({"type": "text", "text": said})
    made = draft(document, call)
    whole = choice.get("finish_reason") != "length"
    for at, called in enumerate(objects_of(message.get("tool_calls"))):
        arguments = _arguments(called)
        if arguments is not None:
            content.append({**tool_use(called, made, at), "input": arguments})
        elif whole:
            raise UpstreamMalformed(
                f"{provider} calls {object_of(called.get('function')).get('name')!r} with "
                "arguments that are no JSON object",
                provider=provider,
            )
    usage = usage_document(usage_of(document.get("usage")))
    tier = TIERS.get(str(document.get("service_tier")))
    return {
        **made,
        "content": content,
        **stop_of(choice, call, message),
        "usage": usage if tier is None else {**usage, "service_tier": tier},
    }


def draft(document: Mapping[str, JsonValue], call: ChatCall) -> JsonObject:
    """What is known of a message from the first that is heard of it."""
    answer = str(document.get("id") or call.trace_id)
    return {
        "id": f"msg_{answer.removeprefix('chatcmpl-')}",
        "type": "message",
        "role": "assistant",
        "model": document.get("model") or call.model,
    }


def stop_of(choice: JsonObject, call: ChatCall, message: JsonObject) -> JsonObject:
    """Why it stopped. Some servers tell which of the caller's sequences it was."""
    finish = choice.get("finish_reason")
    if finish == "stop" and message.get("tool_calls"):
        finish = "tool_calls"
    reason = STOP_REASONS.get(str(finish), "end_turn")
    sequence = choice.get("stop_reason")
    if reason == "end_turn" and sequence in list_of(call.body.get("stop_sequences")):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence, "stop_details": None}
    details: JsonObject | None = None
    if reason == "refusal":
        why = message.get("refusal")
        details = {"type": "refusal", "category": None, "explanation": why}
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}


def usage_document(usage: TokenUsage | None) -> JsonObject:
    """Callers of this API add the numbers up: what nobody counted is 0 to them."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    told: JsonObject = {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def tool_use(call: JsonObject, made: JsonObject, at: int) -> JsonObject:
    """The block of a call without its input; calls that have no id are given one."""
    block: JsonObject = {
        "type": "tool_use",
        "id": call.get("id") or f"toolu_{made['id']}_{at}",
        "name": object_of(call.get("function")).get("name") or "",
    }
    if call.get("extra_content") is not None:
        block["extra_content"] = call["extra_content"]
    return block


def _arguments(call: JsonObject) -> JsonObject | None:
    given = object_of(call.get("function")).get("arguments") or {}
    try:
        parsed: JsonValue = orjson.loads(given) if isinstance(given, str) else given
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parsed, dict) or nested_deeper(parsed, DEEPEST_ARGUMENTS):
        return None
    return parsed
