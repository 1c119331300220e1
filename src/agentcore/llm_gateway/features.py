"""What a call asks for beyond text, as far as servers differ in it."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonValue, list_of, object_of
from agentcore.llm_gateway.chat_wire import whole_number
from agentcore.llm_gateway.models import ChatCall, Feature

# As a response's ``include`` asks for them.
LOGPROBS = "message.output_text.logprobs"
# Tuples: the value to look for may be anything that JSON knows.
IMAGE_PARTS = ("image_url", "input_image", "image")
UNFORCED = (None, "auto", "none")


def features_of(call: ChatCall) -> frozenset[Feature]:
    """Looked at only where somebody who could answer refuses something."""
    body = call.body
    found: set[Feature] = set()
    if body.get("tools"):
        found.add("tools")
        if _choice(body.get("tool_choice")) not in UNFORCED:
            found.add("forced_tools")
    if _is_structured(body):
        found.add("json")
    if body.get("logprobs") or body.get("top_logprobs") or LOGPROBS in list_of(body.get("include")):
        found.add("logprobs")
    if body.get("logit_bias"):
        found.add("logit_bias")
    if (whole_number(body.get("n")) or 1) > 1:
        found.add("n")
    if _has_images(body.get("messages", body.get("input"))):
        found.add("images")
    return frozenset(found)


def _choice(choice: JsonValue) -> JsonValue:
    """Anthropic's callers say it by an object."""
    return choice.get("type") if isinstance(choice, dict) else choice


def _is_structured(body: Mapping[str, JsonValue]) -> bool:
    forms = [body.get("response_format")]
    forms += [object_of(body.get(name)).get("format") for name in ("text", "output_config")]
    return any(isinstance(form, dict) and form.get("type") != "text" for form in forms)


def _has_images(messages: JsonValue) -> bool:
    if not isinstance(messages, list):
        return False
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(
            isinstance(part, dict) and part.get("type") in IMAGE_PARTS for part in content
        ):
            return True
    return False
