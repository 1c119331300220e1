from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.wires.anthropic_tools import tool_choice, tools

PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS},
}
CACHED = {"type": "ephemeral"}


def test_functions_become_tools() -> None:
    described: dict[str, Any] = {
        "type": "function",
        "function": {"name": "f", "description": "Does f.", "strict": True},
        "cache_control": CACHED,
    }
    assert tools([WEATHER, described]) == [
        {"name": "weather", "input_schema": PARAMETERS},
        {
            "name": "f",
            "input_schema": {"type": "object", "properties": {}},
            "description": "Does f.",
            "strict": True,
            "cache_control": CACHED,
        },
    ]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "custom": {"name": "x"}},
        {"type": "web_search_20260318", "name": "web_search"},
        {"type": "function"},
        "f",
    ],
)
def test_other_tools_are_refused(tool: Any) -> None:
    with pytest.raises(InvalidChatRequest, match=r"tools\[1\]"):
        tools([WEATHER, tool])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_choices(choice: Any, expected: Any) -> None:
    assert tool_choice({"tool_choice": choice, "tools": [WEATHER]}) == expected


@pytest.mark.parametrize(
    "choice",
    ["sometimes", {"type": "allowed_tools", "allowed_tools": {}}, {"type": "custom"}, 7],
)
def test_other_choices_are_refused(choice: Any) -> None:
    with pytest.raises(InvalidChatRequest, match="tool_choice"):
        tool_choice({"tool_choice": choice})


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ({"tools": [WEATHER]}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tools": [WEATHER], "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"tools": [WEATHER], "tool_choice": "none"}, {"type": "none"}),
        ({}, None),
    ],
)
def test_one_call_at_a_time(chat: dict[str, Any], expected: Any) -> None:
    assert tool_choice({**chat, "parallel_tool_calls": False}) == expected
    assert tool_choice({"tools": [WEATHER], "parallel_tool_calls": True}) is None
