from __future__ import annotations

import json

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.prompt import Message
from agentcore.simulators.wire import (
    NO_LIMIT,
    RATE_LIMITED,
    Completion,
    chat_request,
    invalid,
)

HELLO: JsonObject = {"messages": [{"role": "user", "content": "hello"}]}


def test_text_parts_are_joined_and_missing_content_is_empty() -> None:
    request = chat_request(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]},
                {"role": "assistant", "content": None, "tool_calls": []},
            ]
        }
    )
    assert request.messages == (Message("user", "ab"), Message("assistant", ""))
    assert request.refusal is None


def test_defaults() -> None:
    request = chat_request(HELLO)
    assert not request.stream
    assert not request.include_usage
    assert request.limit == NO_LIMIT
    assert request.stops == ()


def test_the_newer_limit_wins_and_stops_may_be_one() -> None:
    request = chat_request({**HELLO, "max_tokens": 9, "max_completion_tokens": 5, "stop": "x"})
    assert request.limit == 5
    assert request.stops == ("x",)


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"messages": []}, 400),
        ({"messages": "hello"}, 400),
        ({"messages": [1]}, 400),
        ({"messages": [{"content": "x"}]}, 400),
        ({"max_tokens": 0}, 400),
        ({"max_completion_tokens": "many"}, 400),
        ({"temperature": 2.1}, 400),
        ({"stream_options": {}}, 400),
        ({"n": 2}, 400),
        ({"tool_choice": "required"}, 400),
        ({"logprobs": True}, 500),
        ({"logit_bias": {"1": 1.0}}, 500),
        ({"response_format": {"type": "json_schema"}}, 500),
    ],
)
def test_what_a_node_refuses(members: JsonObject, status: int) -> None:
    refusal = chat_request({**HELLO, **members}).refusal
    assert refusal is not None
    assert refusal.status == status
    error = refusal.body()["error"]
    assert isinstance(error, dict)
    assert "param" not in error


@pytest.mark.parametrize(
    "members",
    [
        {"n": 1},
        {"temperature": 0},
        {"logprobs": False},
        {"response_format": {"type": "text"}},
        {"seed": 1, "priority": 2, "tools": [], "tool_choice": "auto", "stop": None},
        {"stream": True, "stream_options": {"include_usage": False}},
    ],
)
def test_what_a_node_accepts(members: JsonObject) -> None:
    assert chat_request({**HELLO, **members}).refusal is None


def test_only_the_scheduler_writes_a_param() -> None:
    assert RATE_LIMITED.body()["error"] == {
        "message": "All pipelines are busy or not ready. Please retry later.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert invalid("x", by_node=True).body() == {
        "error": {
            "message": "x",
            "type": "invalid_request_error",
            "code": "invalid_request_error",
        }
    }


def test_a_stop_string_is_named_in_both_forms() -> None:
    done = Completion(
        id="chatcmpl-1",
        created=1,
        model="simulated/m",
        prompt_tokens=3,
        tokens=("a", "b"),
        finish_reason="stop",
        stop_reason="END",
    )
    (choice,) = json.loads(json.dumps(done.body()))["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "END")
    last = json.loads(done.events(chat_request(HELLO))[-1].removeprefix(b"data: "))
    assert last["choices"] == [
        {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}
    ]
