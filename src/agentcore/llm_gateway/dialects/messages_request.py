"""A request for a message as one for a chat completion.

What is not named here is passed on as it is: it has the same name and meaning there
(``temperature``, ``top_p``, ``stream``), or belongs to a server's own API (``top_k``,
``chat_template_kwargs``).
"""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.chat_wire import invalid
from agentcore.llm_gateway.dialects.messages_content import messages_of

# Member: what it may be without asking for anything, and what to do instead.
REFUSED: Mapping[str, tuple[tuple[JsonValue, ...], str]] = {
    "container": ((None,), "leave it out: no code runs at the provider"),
    "fallbacks": ((None, []), "leave it out: the gateway falls back by itself"),
    "inference_geo": ((None,), "send the header x-agentcore-region"),
    "mcp_servers": ((None, []), "call the servers yourself"),
}
# Without effect on what is answered. What is cached, and for how long, is the provider's choice.
DROPPED = frozenset({"cache_control", "diagnostics", "speed"})
TRANSLATED = frozenset(
    {
        "context_management",
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "service_tier",
        "stop_sequences",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
HANDLED = DROPPED | TRANSLATED | REFUSED.keys()
CHOICES: Mapping[str, str] = {"auto": "auto", "any": "required", "none": "none"}
TIERS: Mapping[str, str] = {"auto": "auto", "standard_only": "default"}
# Thoughts are no part of what is sent on, or as much a part as the provider makes them.
NO_EDIT = "clear_thinking"
# Up to so many tokens for thinking are this much effort.
EFFORTS: tuple[tuple[int, str], ...] = ((4096, "low"), (16_384, "medium"))


def chat_request(body: Mapping[str, JsonValue], *, limit: str, thoughts: str) -> JsonObject:
    """``limit`` and ``thoughts`` are the provider's names of what providers name differently.

    Raises:
        InvalidChatRequest: chat completions cannot express it.
    """
    for name, (neutral, hint) in REFUSED.items():
        if body.get(name) not in neutral:
            raise invalid(name, "is something that chat completions do not have", hint)
    chat: JsonObject = {
        name: value for name, value in body.items() if value is not None and name not in HANDLED
    }
    chat["messages"] = messages_of(body.get("system"), body.get("messages"), thoughts)
    if body.get("max_tokens") is not None:
        chat[limit] = body["max_tokens"]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    user = object_of(body.get("metadata")).get("user_id")
    if user is not None:
        chat["user"] = user
    tier = TIERS.get(str(body.get("service_tier")))
    if tier is not None:
        chat["service_tier"] = tier
    _context(body.get("context_management"))
    _output(body, chat)
    _tools(body, chat)
    return chat


def _context(given: JsonValue) -> None:
    for edit in objects_of(object_of(given).get("edits")):
        if not str(edit.get("type")).startswith(NO_EDIT):
            raise invalid(
                "context_management",
                f"asks for {edit.get('type')!r}, which chat completions do not have",
                "shorten 'messages' yourself",
            )


def _output(body: Mapping[str, JsonValue], chat: JsonObject) -> None:
    config = object_of(body.get("output_config"))
    for name, value in config.items():
        if name not in {"effort", "format"} and value is not None:
            raise invalid(f"output_config.{name}", "is something that chat completions do not have")
    effort = config.get("effort") or _effort(object_of(body.get("thinking")))
    if effort is not None:
        chat["reasoning_effort"] = effort
    form = object_of(config.get("format"))
    if form:
        if form.get("type") != "json_schema":
            raise invalid("output_config.format.type", "must be 'json_schema'")
        schema: JsonObject = {"name": "answer", "schema": form.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}


def _effort(thinking: JsonObject) -> str | None:
    """The effort that a number of tokens for thinking amounts to; others leave it to the model."""
    budget = thinking.get("budget_tokens")
    if thinking.get("type") != "enabled" or not isinstance(budget, int):
        return None
    return next((effort for most, effort in EFFORTS if budget <= most), "high")


def _tools(body: Mapping[str, JsonValue], chat: JsonObject) -> None:
    tools = list_of(body.get("tools"))
    if tools:
        chat["tools"] = [_function(object_of(tool), at) for at, tool in enumerate(tools)]
    choice = object_of(body.get("tool_choice"))
    if not choice:
        return
    kind = str(choice.get("type"))
    if kind in CHOICES:
        chat["tool_choice"] = CHOICES[kind]
    elif kind == "tool" and isinstance(choice.get("name"), str):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        raise invalid("tool_choice", f"is of type {kind!r}", "it is one of: auto, any, tool, none")
    if choice.get("disable_parallel_tool_use") is True and tools:
        chat["parallel_tool_calls"] = False


def _function(tool: JsonObject, at: int) -> JsonObject:
    """Hints of how a tool is cached, listed or shown by examples are left out."""
    if tool.get("type") not in (None, "custom"):
        raise invalid(
            f"tools.{at}",
            f"is of type {tool.get('type')!r}, which runs at Anthropic or is known to its models",
            "only tools with a name and an input_schema can be offered to others",
        )
    function: JsonObject = {
        "name": tool.get("name"),
        "parameters": tool.get("input_schema") or {"type": "object", "properties": {}},
    }
    if tool.get("description"):
        function["description"] = tool["description"]
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}
