from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.wires.gemini_request import request_of

MODEL = "gemini-2.5-flash"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock"}}
SCHEMA = {"type": "object", "additionalProperties": False, "$defs": {}}


def asked(model: str = MODEL, **members: Any) -> JsonObject:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    request = request_of(body, model, "gemini")
    assert request.pop("contents") == [{"role": "user", "parts": [{"text": "Hi"}]}]
    return request


def config(model: str = MODEL, **members: Any) -> Any:
    return asked(model, **members).get("generationConfig")


def calling(**members: Any) -> Any:
    request: Any = asked(tools=[WEATHER, CLOCK], **members)
    return request.get("toolConfig", {}).get("functionCallingConfig")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"temperature": 0, "top_p": 0.5, "top_k": 7}, {"temperature": 0, "topP": 0.5, "topK": 7}),
        ({"seed": 1, "n": 3}, {"seed": 1, "candidateCount": 3}),
        ({"n": 1, "temperature": None}, None),
        ({"presence_penalty": -1}, {"presencePenalty": -1}),
        ({"frequency_penalty": 1}, {"frequencyPenalty": 1}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"logprobs": False}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
    ],
)
def test_sampling_and_formats(members: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert config(**members) == expected


def test_tools_are_declared_with_their_schemas_as_they_are() -> None:
    assert asked(tools=[WEATHER, CLOCK], parallel_tool_calls=True) == {
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "weather",
                        "description": "Tells it.",
                        "parametersJsonSchema": WEATHER["function"]["parameters"],
                    },
                    {"name": "clock"},
                ]
            }
        ]
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "clock"}},
            {"mode": "ANY", "allowedFunctionNames": ["clock"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CLOCK]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["clock"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CLOCK]}},
            {"mode": "ANY", "allowedFunctionNames": ["clock"]},
        ),
    ],
)
def test_which_tools_may_or_must_be_called(choice: Any, expected: dict[str, Any] | None) -> None:
    assert calling(tool_choice=choice) == expected


def test_strict_tools_are_called_by_their_schemas() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    request: Any = asked(tools=[strict], tool_choice="auto")
    assert request["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    forced: Any = asked(tools=[strict], tool_choice="required")
    assert forced["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3.5-flash", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3.5-flash", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
        ("gemini-3.1-pro", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-flash-latest", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-4-argon", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}),
    ],
)
def test_efforts_are_budgets_before_gemini_3_and_levels_since(
    model: str, effort: str, thinking: dict[str, Any]
) -> None:
    assert config(model, reasoning_effort=effort) == {"thinkingConfig": thinking}


def test_geminis_own_settings_stand_where_googles_compatible_api_has_them() -> None:
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    google = {"thinking_config": {"thinking_budget": 5}, "cached_content": "cachedContents/1"}
    expected = {
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 5}},
        "cachedContent": "cachedContents/1",
        "safetySettings": settings,
    }
    assert asked(extra_body={"google": google}, safety_settings=settings) == expected
    assert asked(google={**google, "safety_settings": settings}) == expected
    both = config(reasoning_effort="low", google={"thinking_config": {"include_thoughts": False}})
    assert both == {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": False}}


@pytest.mark.parametrize(
    ("tier", "theirs"),
    [("flex", "flex"), ("priority", "priority"), ("default", "standard"), ("auto", None)],
)
def test_service_tiers(tier: str, theirs: str | None) -> None:
    assert asked(service_tier=tier).get("serviceTier") == theirs


def test_hints_and_what_asks_for_nothing_special_stay_behind() -> None:
    assert (
        asked(
            user="u",
            metadata={"a": "b"},
            store=True,
            prediction={"type": "content", "content": "x"},
            logit_bias={},
            modalities=["text"],
            verbosity="medium",
            parallel_tool_calls=False,
            functions=[],
            web_search_options=None,
            stream=True,
            stream_options={"include_usage": True},
            provider={"order": ["gemini"]},
        )
        == {}
    )


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"verbosity": "low"}, "verbosity"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{}]}, "functions"),
        ({"min_p": 0.1}, "min_p"),
        ({"chat_template_kwargs": {}}, "chat_template_kwargs"),
        ({"parallel_tool_calls": False, "tools": [CLOCK]}, "parallel_tool_calls"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"tools": [CLOCK], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"google": {"speech": 1}}, "extra_body.google.speech"),
    ],
)
def test_what_gemini_cannot_express_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest, match="gemini") as caught:
        asked(**members)
    assert caught.value.context["param"] == param
