"""Chat completions as requests to Anthropic's Messages API.

What the tables here do not name is taken for Anthropic's own (``top_k``, ``thinking``,
``cache_control``, ...) and passes through; Anthropic itself refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.wires.anthropic_conversation import conversation
from agentcore.llm_gateway.wires.anthropic_tools import tool_choice, tools

# What every model of Anthropic's can give at least, where the caller sets no limit and the API
# requires one.
DEFAULT_MAX_TOKENS = 32_000
LEAST_THINKING = 1024

# Carried over under another name or in another form.
CARRIED = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "user",
    }
)
# Left out: they change nothing in the answer. A stream tells its usage whoever asks.
HINTS = frozenset(
    {
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "stream_options",
    }
)
# Refused, unless they ask for what happens anyway.
INEXPRESSIBLE: Mapping[str, tuple[JsonValue, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"], []),
    "moderation": (),
    "n": (1,),
    "presence_penalty": (0,),
    "seed": (),
    "stop_sequences": (),
    "system": (),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
INSTEAD: Mapping[str, str] = {
    "function_call": "use tool_choice",
    "functions": "use tools",
    "n": "send the request n times",
    "stop_sequences": "use stop",
    "system": "send a message with the role system",
}
EFFORTS: Mapping[str, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
# Models before 4.6 know no adaptive thinking: they are given a number of tokens to think.
BUDGETED = re.compile(
    r"claude-(?:[1-3]|instant|(?:opus|sonnet|haiku)-4(?![-.](?:[6-9]|\d\d)(?!\d)))"
)
BUDGETS: Mapping[str, int] = {
    "minimal": LEAST_THINKING,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 31_000,
}
TIERS: Mapping[str, str] = {
    "auto": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}


def message_request(call: ChatCall, model: str, provider: str) -> JsonObject:
    """The chat completion ``call`` as a request for a message.

    Raises:
        InvalidChatRequest: Anthropic's API cannot express it.
    """
    chat = call.body
    for name, harmless in INEXPRESSIBLE.items():
        _refuse(name, chat.get(name), harmless, provider)
    body: JsonObject = {
        name: value
        for name, value in chat.items()
        if name not in CARRIED and name not in HINTS and name not in INEXPRESSIBLE
    }
    limits = (chat.get("max_completion_tokens"), chat.get("max_tokens"), DEFAULT_MAX_TOKENS)
    body["model"] = model
    body["max_tokens"] = next(limit for limit in limits if limit is not None)
    system, body["messages"] = conversation(chat["messages"])
    if system:
        body["system"] = system
    if call.stream:
        body["stream"] = True
    _sampling(chat, body)
    _identity(chat, body)
    _output(chat, body, model)
    if chat.get("tools"):
        body["tools"] = tools(chat["tools"])
    choice = tool_choice(chat)
    if choice is not None:
        body["tool_choice"] = choice
    return body


def _refuse(name: str, value: JsonValue, harmless: tuple[JsonValue, ...], provider: str) -> None:
    if value is None or value in harmless:
        return
    raise InvalidChatRequest(
        f"{name!r} cannot be expressed to {provider}, which speaks Anthropic's Messages API",
        hint=INSTEAD.get(name, "leave it out, or ask for a model of another provider"),
        param=name,
    )


def _sampling(chat: Mapping[str, JsonValue], body: JsonObject) -> None:
    temperature = chat.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        raise InvalidChatRequest(
            f"'temperature' is {temperature:g}; Anthropic's models take 0 to 1",
            param="temperature",
        )
    if temperature is not None:
        body["temperature"] = temperature
    stop = chat.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop


def _identity(chat: Mapping[str, JsonValue], body: JsonObject) -> None:
    """OpenAI's metadata is for its own archive of answers; of Anthropic's only this one exists."""
    metadata = object_of(chat.get("metadata"))
    user = chat.get("user") or chat.get("safety_identifier") or metadata.get("user_id")
    if user is not None:
        body["metadata"] = {"user_id": user}
    tier = TIERS.get(str(chat.get("service_tier")))
    if tier is not None:
        body["service_tier"] = tier


def _output(chat: Mapping[str, JsonValue], body: JsonObject, model: str) -> None:
    config = dict(object_of(chat.get("output_config")))
    wanted = _format(chat.get("response_format"))
    if wanted is not None:
        config["format"] = wanted
    effort = chat.get("reasoning_effort")
    if effort is not None:
        _think(effort, config, body, model)
    if config:
        body["output_config"] = config


def _format(wanted: JsonValue) -> JsonObject | None:
    """Structured outputs: constrained to the schema, whether or not it is called strict."""
    kind = object_of(wanted).get("type")
    if wanted is None or kind == "text":
        return None
    described = object_of(object_of(wanted).get("json_schema"))
    schema = described.get("schema")
    if kind == "json_schema" and isinstance(schema, dict):
        about = described.get("description")
        return {
            "type": "json_schema",
            "schema": schema if about is None else {"description": about, **schema},
        }
    raise InvalidChatRequest(
        f"'response_format' of type {kind!r} cannot be expressed to Anthropic's models",
        hint="use type json_schema, with a schema",
        param="response_format",
    )


def _think(effort: JsonValue, config: JsonObject, body: JsonObject, model: str) -> None:
    """As much thinking as asked for; a ``thinking`` of the caller's own is left as it is."""
    if effort == "none":
        if BUDGETED.search(model) is None:
            body.setdefault("thinking", {"type": "disabled"})
        return
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise InvalidChatRequest(
            f"'reasoning_effort' is {effort!r}",
            hint=f"it is one of: none, {', '.join(EFFORTS)}",
            param="reasoning_effort",
        )
    if BUDGETED.search(model) is None:
        config["effort"] = EFFORTS[effort]
        # Newer models keep their thinking to themselves unless they are asked for it.
        body.setdefault("thinking", {"type": "adaptive", "display": "summarized"})
    elif "thinking" not in body:
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(effort, body["max_tokens"])}


def _budget(effort: str, most: JsonValue) -> int:
    """Thinking is a part of the answer: what is left must be enough to say something."""
    if not isinstance(most, int) or most <= LEAST_THINKING:
        raise InvalidChatRequest(
            f"'reasoning_effort' needs more than {LEAST_THINKING} tokens; the limit is {most}",
            hint="raise max_completion_tokens, or leave reasoning_effort out",
            param="reasoning_effort",
        )
    return min(BUDGETS[effort], max(LEAST_THINKING, most // 2))
