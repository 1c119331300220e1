from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.dialects.responses_request import chat_request
from agentcore.llm_gateway.errors import InvalidChatRequest

HELLO: dict[str, Any] = {"model": "m", "input": "Hello"}
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "Of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
TIME: dict[str, Any] = {"type": "function", "name": "time", "parameters": None, "strict": None}
WEATHER_THERE = {
    "type": "function",
    "function": {name: value for name, value in WEATHER.items() if name != "type"},
}
TIME_THERE = {"type": "function", "function": {"name": "time"}}
BOTH = [WEATHER, TIME]
BOTH_THERE = [WEATHER_THERE, TIME_THERE]


@pytest.mark.parametrize(
    ("asked", "carried"),
    [
        ({}, {}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        (
            {"temperature": 0.5, "top_p": 0.9, "stream": True},
            {"temperature": 0.5, "top_p": 0.9, "stream": True},
        ),
        (
            {"user": "u", "service_tier": "flex", "prompt_cache_key": "k"},
            {"user": "u", "service_tier": "flex", "prompt_cache_key": "k"},
        ),
        (
            {"top_k": 4, "chat_template_kwargs": {"enable_thinking": False}, "seed": 1},
            {"top_k": 4, "chat_template_kwargs": {"enable_thinking": False}, "seed": 1},
        ),
        ({"metadata": {"a": "b"}, "max_tool_calls": 3, "stream_options": {}}, {}),
        ({"store": False, "background": False, "truncation": "disabled"}, {}),
        ({"temperature": None, "top_k": None, "previous_response_id": None, "tools": None}, {}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"mode": "standard", "effort": None}}, {}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "schema": {"type": "object"},
                        "strict": True,
                        "description": None,
                    }
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"top_logprobs": 0}, {}),
        ({"tools": BOTH}, {"tools": BOTH_THERE}),
        (
            {"tools": BOTH, "tool_choice": "required", "parallel_tool_calls": False},
            {"tools": BOTH_THERE, "tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": BOTH, "tool_choice": {"type": "function", "name": "time"}},
            {
                "tools": BOTH_THERE,
                "tool_choice": {"type": "function", "function": {"name": "time"}},
            },
        ),
        (
            {
                "tools": BOTH,
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "time"}],
                },
            },
            {"tools": [TIME_THERE], "tool_choice": "required"},
        ),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
        (
            {"tools": [{**TIME, "defer_loading": False, "allowed_callers": ["direct"]}]},
            {"tools": [TIME_THERE]},
        ),
    ],
)
def test_what_is_carried(asked: dict[str, Any], carried: dict[str, Any]) -> None:
    assert chat_request({**HELLO, **asked}) == {**PLAIN, **carried}


@pytest.mark.parametrize(
    ("asked", "param", "what"),
    [
        ({"store": True}, "store", "no response is kept"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        ({"conversation": "conv_1"}, "conversation", "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "nothing is kept here"),
        ({"background": True}, "background", "True"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "no templates"),
        ({"truncation": "auto"}, "truncation", "auto"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "compaction"),
        ({"moderation": {"model": "x"}}, "moderation", "x"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "web_search"),
        (
            {"tools": [WEATHER, {"type": "mcp", "server_label": "s"}]},
            "tools[1].type",
            "no such tool runs here",
        ),
        ({"tools": [{"type": "custom", "name": "c"}]}, "tools[0].type", "custom"),
        ({"tools": ["weather"]}, "tools[0]", "must be an object"),
        ({"tools": [{**TIME, "async": True}]}, "tools[0].async", "True"),
        (
            {"tools": [{**TIME, "allowed_callers": ["programmatic"]}]},
            "tools[0].allowed_callers",
            "programmatic",
        ),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type", "file_search"),
        ({"include": ["surprise"]}, "include", "surprise"),
        ({"include": [{}]}, "include", "{}"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "pro"),
        ({"reasoning": "high"}, "reasoning", "must be an object"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "grammar"),
        ({"text": {"format": "json"}}, "text.format", "must be an object"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(
    asked: dict[str, Any], param: str, what: str
) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        chat_request({**HELLO, **asked})
    assert caught.value.context["param"] == param
    assert what in f"{caught.value.detail} {caught.value.hint}"
