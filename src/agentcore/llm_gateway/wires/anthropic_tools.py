"""Functions that a chat completion offers, as tools of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.llm_gateway.errors import InvalidChatRequest

NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
CHOICES: Mapping[str, str] = {"auto": "auto", "none": "none", "required": "any"}


def tools(offered: JsonValue) -> list[JsonValue]:
    """
    Raises:
        InvalidChatRequest: one of them is no function.
    """
    return [_tool(object_of(tool), at) for at, tool in enumerate(list_of(offered))]


def tool_choice(chat: Mapping[str, JsonValue]) -> JsonObject | None:
    """Which tools the model may use, and whether several at once; None: as it likes.

    Raises:
        InvalidChatRequest: Anthropic has no word for that choice.
    """
    choice = _choice(chat.get("tool_choice"))
    alone = chat.get("parallel_tool_calls") is False and bool(chat.get("tools"))
    if not alone or (choice is not None and choice["type"] == "none"):
        return choice
    return {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}


def _tool(tool: JsonObject, at: int) -> JsonObject:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        raise InvalidChatRequest(
            f"tools[{at}] is of type {tool.get('type')!r}: Anthropic's models are offered "
            "functions only",
            hint="tools that run at Anthropic are reached by POST /v1/messages",
            param="tools",
        )
    made: JsonObject = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or NO_PARAMETERS,
    }
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("strict") is True:
        made["strict"] = True
    cached = tool.get("cache_control") or function.get("cache_control")
    if cached is not None:
        made["cache_control"] = cached
    return made


def _choice(choice: JsonValue) -> JsonObject | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in CHOICES:
        return {"type": CHOICES[choice]}
    named = object_of(choice)
    name = object_of(named.get("function")).get("name")
    if named.get("type") == "function" and isinstance(name, str):
        return {"type": "tool", "name": name}
    raise InvalidChatRequest(
        f"'tool_choice' cannot be expressed to Anthropic's models: {str(choice)[:100]}",
        hint=f"it is one of: {', '.join(CHOICES)}, or names one function",
        param="tool_choice",
    )
