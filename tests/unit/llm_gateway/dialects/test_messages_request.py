from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.dialects.messages_request import chat_request
from agentcore.llm_gateway.errors import InvalidChatRequest

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {}}


def chat(**members: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 9, "messages": HELLO, **members}
    return chat_request(body, limit="max_tokens", thoughts="reasoning_content")


def more(**members: Any) -> dict[str, Any]:
    """What ``members`` add to the request."""
    asked = chat(**members)
    for known in ("model", "messages", "max_tokens"):
        asked.pop(known)
    return asked


def test_the_least() -> None:
    assert chat() == {"model": "m", "max_tokens": 9, "messages": HELLO}


def test_the_limit_has_the_providers_name() -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": HELLO}
    asked = chat_request(body, limit="max_completion_tokens", thoughts="")
    assert asked == {"model": "m", "max_completion_tokens": 9, "messages": HELLO}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"stream": True}, {"stream": True}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {"agentcore_private": True}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"cache_control": {"type": "ephemeral"}, "speed": "fast", "diagnostics": {}}, {}),
        ({"mcp_servers": [], "container": None, "fallbacks": []}, {}),
        (
            {"top_k": 40, "chat_template_kwargs": {"a": 1}},
            {"top_k": 40, "chat_template_kwargs": {"a": 1}},
        ),
        ({"temperature": None}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 10_000}},
            {"reasoning_effort": "medium"},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {}),
        (
            {"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}},
            {"reasoning_effort": "max"},
        ),
        (
            {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
            {},
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                }
            },
        ),
    ],
)
def test_members(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert more(**members) == expected


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"fallbacks": [{}]}, "fallbacks"),
        (
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            "context_management",
        ),
        ({"output_config": {"task_budget": {"total": 1}}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools.0"),
        ({"tool_choice": {"type": "sometimes"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        chat(**members)
    assert caught.value.context["param"] == param


TOOL: dict[str, Any] = {"name": "f", "description": "Does f.", "input_schema": SCHEMA}
FUNCTION = {"name": "f", "description": "Does f.", "parameters": SCHEMA}


def test_tools() -> None:
    cached = {**TOOL, "type": "custom", "strict": True, "cache_control": {"type": "ephemeral"}}
    assert more(tools=[TOOL, cached, {"name": "g"}]) == {
        "tools": [
            {"type": "function", "function": FUNCTION},
            {"type": "function", "function": {**FUNCTION, "strict": True}},
            {"type": "function", "function": {"name": "g", "parameters": SCHEMA}},
        ]
    }
    assert more(tools=[]) == {}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "f"},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_choices(choice: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = more(tools=[TOOL], tool_choice=choice)
    asked.pop("tools")
    assert asked == expected
