"""A chat completion's request as Gemini's: https://ai.google.dev/api/generate-content.

Nothing is dropped in silence. What Gemini has under another name is renamed, what it cannot express
is refused by name; only ``HINTS`` stay behind, which change no answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.llm_gateway.chat_wire import invalid
from agentcore.llm_gateway.wires.gemini_contents import conversation_of, generation_of

# Who asks, what for, and what may be stored or predicted of it; parts of what is asked have their
# hints, too: the detail of images, the names of speakers, marks for caches.
HINTS = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "provider",
        "safety_identifier",
        "store",
        "user",
    }
)
# Read elsewhere in this module, or by the wire.
READ = frozenset(
    {
        "extra_body",
        "google",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "safety_settings",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)
RENAMED = {
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "topK",
    "top_p": "topP",
}
# Members that Gemini lacks, with the values that ask for nothing special.
NEUTRAL: Mapping[str, JsonValue] = {
    "functions": [],
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
}
TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
# Tokens to think with, and since Gemini 3 levels: as Google's OpenAI-compatible API maps them.
BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
LEVELS = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
GOOGLE = {"cached_content": "cachedContent", "safety_settings": "safetySettings"}


def request_of(body: Mapping[str, JsonValue], model: str, provider: str) -> JsonObject:
    """
    Raises:
        InvalidChatRequest: Gemini cannot express it; the member at fault is named.
    """
    _check(body, provider)
    talk = conversation_of(body.get("messages"), model, provider)
    request: JsonObject = {"contents": talk.contents}
    if talk.system:
        request["systemInstruction"] = {"parts": talk.system}
    request.update(_tools(body, provider))
    google = _google(body)
    config = {**_sampling(body), **_format(body, provider)}
    thinking = {**_effort(body, model, provider), **_camel(google.pop("thinking_config", None))}
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        request["generationConfig"] = config
    tier = body.get("service_tier")
    if isinstance(tier, str) and tier in TIERS:
        request["serviceTier"] = TIERS[tier]
    for name, value in google.items():
        if name not in GOOGLE:
            raise invalid(f"extra_body.google.{name}", f"is nothing that {provider} knows")
        request[GOOGLE[name]] = value
    return request


def _check(body: Mapping[str, JsonValue], provider: str) -> None:
    for name, value in body.items():
        if value is None or name in READ or name in RENAMED or name in HINTS:
            continue
        if name not in NEUTRAL or value != NEUTRAL[name]:
            raise invalid(name, f"cannot be expressed in the API of {provider}")
    if body.get("parallel_tool_calls") is False and body.get("tools"):
        raise invalid("parallel_tool_calls", f"cannot be turned off at {provider}")


def _sampling(body: Mapping[str, JsonValue]) -> JsonObject:
    config: JsonObject = {}
    for name, theirs in RENAMED.items():
        if (value := body.get(name)) is not None:
            config[theirs] = value
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None:
        config["maxOutputTokens"] = limit
    stop = body.get("stop")
    if stop is not None:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("n") not in (None, 1):
        config["candidateCount"] = body["n"]
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if (most := body.get("top_logprobs")) is not None:
            config["logprobs"] = most
    return config


def _format(body: Mapping[str, JsonValue], provider: str) -> JsonObject:
    wanted = object_of(body.get("response_format"))
    match wanted.get("type"):
        case None | "text":
            return {}
        case "json_object":
            return {"responseMimeType": "application/json"}
        case "json_schema":
            schema = object_of(wanted.get("json_schema")).get("schema")
            config: JsonObject = {"responseMimeType": "application/json"}
            return config if schema is None else {**config, "responseJsonSchema": schema}
        case kind:
            raise invalid("response_format", f"has the type {kind!r}, which {provider} has not")


def _tools(body: Mapping[str, JsonValue], provider: str) -> JsonObject:
    tools = objects_of(body.get("tools"))
    if not tools:
        return {}
    declared: list[JsonValue] = [_declaration(tool, provider) for tool in tools]
    strict = any(object_of(tool.get("function")).get("strict") is True for tool in tools)
    calling = _choice(body.get("tool_choice"), provider)
    if strict and calling.get("mode", "AUTO") == "AUTO":
        # The model may still speak instead; what it calls fits the schemas.
        calling = {"mode": "VALIDATED"}
    request: JsonObject = {"tools": [{"functionDeclarations": declared}]}
    return {**request, "toolConfig": {"functionCallingConfig": calling}} if calling else request


def _declaration(tool: Mapping[str, JsonValue], provider: str) -> JsonObject:
    if tool.get("type", "function") != "function":
        raise invalid("tools", f"hold one of the type {tool.get('type')!r}, which {provider} lacks")
    function = object_of(tool.get("function"))
    declaration: JsonObject = {"name": function.get("name")}
    if function.get("description") is not None:
        declaration["description"] = function["description"]
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = function["parameters"]
    return declaration


def _choice(choice: JsonValue, provider: str) -> JsonObject:
    if choice is None:
        return {}
    if isinstance(choice, str) and choice in MODES:
        return {"mode": MODES[choice]}
    wanted = object_of(choice)
    name = object_of(wanted.get("function")).get("name")
    if isinstance(name, str):
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    if wanted.get("type") == "allowed_tools":
        allowed = object_of(wanted.get("allowed_tools"))
        functions = [object_of(tool.get("function")) for tool in objects_of(allowed.get("tools"))]
        mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": [each.get("name") for each in functions]}
    raise invalid("tool_choice", f"asks for what {provider} has not: {str(choice)[:60]!r}")


def _effort(body: Mapping[str, JsonValue], model: str, provider: str) -> JsonObject:
    effort = body.get("reasoning_effort")
    if effort is None:
        return {}
    if not isinstance(effort, str) or effort not in LEVELS:
        known = ", ".join(LEVELS)
        raise invalid("reasoning_effort", f"is {effort!r}; {provider} takes one of {known}")
    generation = generation_of(model)
    if generation is not None and generation < 3:
        thinking: JsonObject = {"thinkingBudget": BUDGETS[effort]}
    else:
        # The larger models have no level below low; to ask for none at all is theirs to refuse.
        least = "low" if effort == "minimal" and "-pro" in model else LEVELS[effort]
        thinking = {"thinkingLevel": least}
    return thinking if effort == "none" else {**thinking, "includeThoughts": True}


def _google(body: Mapping[str, JsonValue]) -> JsonObject:
    """Gemini's own settings, where Google's OpenAI-compatible API has them."""
    google = {
        **object_of(object_of(body.get("extra_body")).get("google")),
        **object_of(body.get("google")),
    }
    settings = body.get("safety_settings")
    return google if settings is None else {**google, "safety_settings": settings}


def _camel(config: JsonValue) -> JsonObject:
    """``thinking_level`` as ``thinkingLevel``: one that is set twice would be refused."""
    named: JsonObject = {}
    for name, value in object_of(config).items():
        first, *others = name.split("_")
        named[first + "".join(map(str.title, others))] = value
    return named
