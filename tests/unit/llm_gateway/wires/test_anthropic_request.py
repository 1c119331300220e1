from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.wires.anthropic_request import (
    BUDGETED,
    CARRIED,
    DEFAULT_MAX_TOKENS,
    HINTS,
    INEXPRESSIBLE,
    message_request,
)

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
TURNS = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
NEW = "claude-opus-5"
OLD = "claude-sonnet-4-5"


def request(model: str = NEW, **members: Any) -> dict[str, Any]:
    chat = {"model": "m", "messages": HELLO, **members}
    return message_request(ChatCall("m", chat), model, "p")


def more(**members: Any) -> dict[str, Any]:
    """What ``members`` add to the request."""
    asked = request(**members)
    for known in ("model", "messages", "max_tokens"):
        asked.pop(known)
    return asked


def test_the_least() -> None:
    assert request() == {"model": NEW, "max_tokens": DEFAULT_MAX_TOKENS, "messages": TURNS}


def test_a_stream() -> None:
    call = ChatCall("m", {"model": "m", "messages": HELLO, "stream": True}, stream=True)
    assert message_request(call, NEW, "p")["stream"] is True


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": None, "max_tokens": 5}, 5),
        ({"max_tokens": None}, DEFAULT_MAX_TOKENS),
    ],
)
def test_the_limit(limits: dict[str, Any], expected: int) -> None:
    assert request(**limits)["max_tokens"] == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3, "top_p": 0.9}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"temperature": None}, {}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": None}, {}),
        ({"stop": []}, {}),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"metadata": {"user_id": "u", "run": "7"}}, {"metadata": {"user_id": "u"}}),
        ({"metadata": {"agentcore_private": True}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "flex"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"store": True, "prediction": {"type": "content", "content": "x"}}, {}),
        ({"stream_options": {"include_usage": True}, "prompt_cache_key": "k"}, {}),
        ({"n": 1, "logprobs": False, "presence_penalty": 0.0, "logit_bias": {}}, {}),
        ({"modalities": ["text"], "seed": None, "top_logprobs": 0}, {}),
        (
            {"top_k": 5, "cache_control": {"type": "ephemeral"}, "inference_geo": "eu"},
            {"top_k": 5, "cache_control": {"type": "ephemeral"}, "inference_geo": "eu"},
        ),
    ],
)
def test_members(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert more(**members) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("logit_bias", {"50256": -100}),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("seed", 7),
        ("audio", {"voice": "alloy"}),
        ("modalities", ["text", "audio"]),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("verbosity", "low"),
        ("web_search_options", {}),
        ("system", "Be brief."),
        ("stop_sequences", ["x"]),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", "json"),
        ("reasoning_effort", "extreme"),
        ("reasoning_effort", 3),
        ("temperature", 1.2),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidChatRequest, match=name) as caught:
        request(**{name: value})
    assert caught.value.context["param"] == name


def test_no_member_is_in_two_tables() -> None:
    assert not CARRIED & HINTS
    assert not (CARRIED | HINTS) & set(INEXPRESSIBLE) - {"stop_sequences"}


SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


def test_structured_output() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    expected = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert more(response_format=wanted) == {"output_config": expected}
    wanted["json_schema"] = {"schema": SCHEMA, "description": "A thing."}
    described = {"description": "A thing.", **SCHEMA}
    assert more(response_format=wanted)["output_config"]["format"]["schema"] == described


def test_structured_output_beside_anthropics_own_words() -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    config = more(response_format=wanted, output_config={"effort": "low"})["output_config"]
    assert config == {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}


ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("effort", "expected"),
    [
        ("none", {"thinking": {"type": "disabled"}}),
        ("minimal", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}),
        ("medium", {"thinking": ADAPTIVE, "output_config": {"effort": "medium"}}),
        ("max", {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}),
    ],
)
def test_effort(effort: str, expected: dict[str, Any]) -> None:
    assert more(reasoning_effort=effort) == expected


def test_a_thinking_of_the_callers_own_is_left_alone() -> None:
    own = {"type": "adaptive"}
    asked = more(reasoning_effort="high", thinking=own)
    assert asked == {"thinking": own, "output_config": {"effort": "high"}}
    budget = {"type": "enabled", "budget_tokens": 4000}
    assert more(model=OLD, reasoning_effort="high", thinking=budget) == {"thinking": budget}


@pytest.mark.parametrize(
    ("effort", "limit", "budget"),
    [("low", 32_000, 2048), ("high", 32_000, 16_000), ("max", 64_000, 31_000), ("low", 1025, 1024)],
)
def test_older_models_are_given_a_budget(effort: str, limit: int, budget: int) -> None:
    asked = request(model=OLD, reasoning_effort=effort, max_tokens=limit)
    assert asked["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert "output_config" not in asked


def test_older_models_do_not_think_unasked() -> None:
    assert more(model=OLD, reasoning_effort="none") == {}


@pytest.mark.parametrize("limit", [1024, 16, "many"])
def test_a_budget_needs_room(limit: Any) -> None:
    with pytest.raises(InvalidChatRequest, match="reasoning_effort"):
        request(model=OLD, reasoning_effort="low", max_tokens=limit)


@pytest.mark.parametrize(
    "model",
    [
        "claude-3-haiku-20240307",
        "claude-3-7-sonnet-latest",
        "claude-2.1",
        "claude-opus-4-20250514",
        "claude-opus-4-0",
        "claude-opus-4-1-20250805",
        "claude-sonnet-4-5-20250929",
        "claude-haiku-4-5",
        "anthropic.claude-opus-4.5",
    ],
)
def test_models_that_need_a_budget(model: str) -> None:
    assert BUDGETED.search(model)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6",
        "claude-opus-4-8-20260301",
        "claude-sonnet-4.6",
        "claude-sonnet-5",
        "claude-haiku-5-5",
        "claude-fable-5-1",
        "claude-opus-4-10",
        "MiniMax-M2",
    ],
)
def test_models_that_do_not(model: str) -> None:
    assert BUDGETED.search(model) is None
