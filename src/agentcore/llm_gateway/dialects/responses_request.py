"""A request for a response as one for a chat completion.

What is not named here is passed on as it is: it has the same name and meaning there
(``temperature``, ``top_p``, ``user``, ``service_tier``, ``safety_identifier``,
``prompt_cache_key``, ...), or belongs to a server's own API (``top_k``, ``chat_template_kwargs``).
"""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.llm_gateway.chat_wire import invalid
from agentcore.llm_gateway.dialects.responses_input import STATELESS, messages_of
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.features import LOGPROBS

# Member: what it may be without asking for anything, and what to do instead.
REFUSED: Mapping[str, tuple[tuple[JsonValue, ...], str]] = {
    "previous_response_id": ((None,), STATELESS),
    "conversation": ((None,), STATELESS),
    "store": ((None, False), "leave it out: no response is kept here"),
    "background": ((None, False), "leave it out, and stream if it takes long"),
    "background_options": ((None,), "leave it out"),
    "prompt": ((None,), "send 'instructions' and 'input': no templates are kept here"),
    "truncation": ((None, "disabled"), "shorten 'input' yourself"),
    "context_management": ((None, []), "shorten 'input' yourself"),
    "moderation": ((None,), "leave it out"),
    "n": ((None, 1), "ask as often as there shall be answers"),
    "access_programs": ((None,), "leave it out"),
    "image": ((None,), "leave it out"),
}
# Without effect on what is answered: ``metadata`` is repeated in it, and no tool runs at the
# provider. Of ``reasoning`` only the effort is carried: thoughts are told themselves, unsummarised.
DROPPED = frozenset({"metadata", "stream_options", "max_tool_calls"})
# A tuple: the value to look for may be anything that JSON knows.
INCLUDED = (
    LOGPROBS,
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
)
TRANSLATED = frozenset(
    {
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)
HANDLED = DROPPED | TRANSLATED | REFUSED.keys()
# What a function may say of itself that a chat completion cannot: only the default is carried.
FUNCTION_REFUSED: Mapping[str, tuple[JsonValue, ...]] = {
    "allowed_callers": (None, [], ["direct"]),
    "async": (None, False),
    "defer_loading": (None, False),
}
FUNCTION_MEMBERS = ("name", "description", "parameters", "strict")


def chat_request(body: Mapping[str, JsonValue]) -> JsonObject:
    """
    Raises:
        InvalidChatRequest: chat completions cannot express it.
    """
    for name, (neutral, hint) in REFUSED.items():
        if body.get(name) not in neutral:
            raise invalid(
                name, f"is {_short(body[name])}, which chat completions do not have", hint
            )
    chat: JsonObject = {
        name: value for name, value in body.items() if value is not None and name not in HANDLED
    }
    chat["messages"] = messages_of(body.get("instructions"), body.get("input"))
    if body.get("max_output_tokens") is not None:
        # The older name: servers that know only that one would ignore the newer.
        chat["max_tokens"] = body["max_output_tokens"]
    _reasoning(body.get("reasoning"), chat)
    _text(body.get("text"), chat)
    _logprobs(body, chat)
    _tools(body, chat)
    return chat


def _reasoning(given: JsonValue, chat: JsonObject) -> None:
    reasoning = _member(given, "reasoning")
    if reasoning.get("mode") not in (None, "standard"):
        raise invalid("reasoning.mode", f"is {reasoning['mode']!r}", "chat has only 'standard'")
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]


def _text(given: JsonValue, chat: JsonObject) -> None:
    text = _member(given, "text")
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    form = _member(text.get("format"), "text.format")
    kind = form.get("type", "text")
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        schema: JsonObject = {
            name: value for name, value in form.items() if name != "type" and value is not None
        }
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        raise invalid(
            "text.format.type", f"is {kind!r}", "it is one of: text, json_object, json_schema"
        )


def _logprobs(body: Mapping[str, JsonValue], chat: JsonObject) -> None:
    include = list_of(body.get("include"))
    for name in include:
        if name not in INCLUDED:
            raise invalid("include", f"names {_short(name)}", "that is not known here")
    top = body.get("top_logprobs")
    if LOGPROBS in include or top:
        chat["logprobs"] = True
        if top is not None:
            chat["top_logprobs"] = top


def _tools(body: Mapping[str, JsonValue], chat: JsonObject) -> None:
    """Functions, and which of them may or must be called."""
    tools = [_function(tool, f"tools[{at}]") for at, tool in enumerate(list_of(body.get("tools")))]
    choice = body.get("tool_choice")
    wanted: JsonValue = choice
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "function":
            wanted = {"type": "function", "function": {"name": choice.get("name")}}
        elif kind == "allowed_tools":
            # No server but OpenAI's knows the restriction; who has fewer tools needs none.
            allowed = {object_of(tool).get("name") for tool in list_of(choice.get("tools"))}
            tools = [tool for tool in tools if object_of(tool["function"]).get("name") in allowed]
            wanted = choice.get("mode", "auto")
        else:
            raise _no_tool("tool_choice.type", kind)
    if tools:
        chat["tools"] = [*tools]
        if body.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = body["parallel_tool_calls"]
    if wanted is not None and (tools or wanted not in ("auto", "none")):
        chat["tool_choice"] = wanted


def _function(tool: JsonValue, where: str) -> JsonObject:
    known = _member(tool, where)
    if known.get("type") != "function":
        raise _no_tool(f"{where}.type", known.get("type"))
    for name, neutral in FUNCTION_REFUSED.items():
        if known.get(name) not in neutral:
            raise invalid(f"{where}.{name}", f"is {_short(known[name])}", "leave it out")
    function: JsonObject = {
        name: known[name] for name in FUNCTION_MEMBERS if known.get(name) is not None
    }
    return {"type": "function", "function": function}


def _no_tool(where: str, kind: JsonValue) -> InvalidChatRequest:
    return invalid(
        where,
        f"is {kind!r}: no such tool runs here",
        "tools are functions that the caller carries out",
    )


def _member(value: JsonValue, name: str) -> JsonObject:
    if value is None or isinstance(value, dict):
        return value or {}
    raise invalid(name, "must be an object")


def _short(value: JsonValue) -> str:
    return repr(value)[:80]
