from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.wires.anthropic_conversation import conversation, tool_id

CACHED = {"type": "ephemeral"}
HI: dict[str, Any] = {"role": "user", "content": "Hi"}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def call(name: str, arguments: Any, call_id: str = "c1") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def turns(*messages: dict[str, Any]) -> list[Any]:
    return conversation(list(messages))[1]


def of_user(*parts: dict[str, Any]) -> list[Any]:
    ((turn),) = turns({"role": "user", "content": list(parts)})
    blocks: list[Any] = turn["content"]
    return blocks


def test_system_messages_stand_in_front() -> None:
    system, said = conversation(
        [
            {"role": "system", "content": "One."},
            HI,
            {"role": "developer", "content": [text("Two.", cache_control=CACHED)]},
            {"role": "user", "content": "there"},
            {"role": "system", "content": ""},
        ]
    )
    assert system == [text("One."), text("Two.", cache_control=CACHED)]
    assert said == [user(text("Hi"), text("there"))]


def test_turns_alternate() -> None:
    assert turns(
        HI,
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": [text("b"), {"type": "refusal", "refusal": "c"}]},
        {"role": "assistant", "content": ""},
        HI,
    ) == [user(text("Hi")), assistant(text("a"), text("b"), text("c")), user(text("Hi"))]


def test_calls_and_their_results() -> None:
    assert turns(
        HI,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call("f", '{"a": 1}'), call("g", "", "c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [text("two"), text("")]},
        {"role": "user", "content": "Go on."},
    ) == [
        user(text("Hi")),
        assistant(
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
        ),
        user(
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("one")]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [text("two")]},
            text("Go on."),
        ),
    ]


def test_signed_thoughts_go_first() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    said = turns(
        HI,
        {
            "role": "assistant",
            "content": "a",
            "reasoning_content": "Hm.",
            "thinking_blocks": [{"index": 0, **thought}],
        },
    )
    assert said[1] == assistant(thought, text("a"))


def test_ids_that_anthropic_refuses_are_respelled_alike_on_both_sides() -> None:
    odd = "functions.f:0"
    said = turns(
        HI,
        {"role": "assistant", "tool_calls": [call("f", "{}", odd)]},
        {"role": "tool", "tool_call_id": odd, "content": "x"},
    )
    used, result = said[1]["content"][0]["id"], said[2]["content"][0]["tool_use_id"]
    assert used == result == tool_id(odd)
    assert used.startswith("functions_f_0_")
    assert tool_id("functions_f:0") != used
    assert tool_id("toolu_01-A") == "toolu_01-A"


def test_images() -> None:
    assert of_user(
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": "http://x.example/b.png", "cache_control": CACHED},
    ) == [
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
        },
        {
            "type": "image",
            "source": {"type": "url", "url": "http://x.example/b.png"},
            "cache_control": CACHED,
        },
    ]


def test_files() -> None:
    pdf = "data:application/pdf;base64,JVBERg=="
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    assert of_user({"type": "file", "file": {"file_data": pdf, "filename": "a.pdf"}}) == [
        {"type": "document", "source": source, "title": "a.pdf"}
    ]


def test_anthropics_own_blocks_pass() -> None:
    own = {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "t"}
    assert of_user(own) == [own]


def test_a_mark_on_a_message_is_a_mark_on_its_last_block() -> None:
    said = turns(
        {"role": "user", "content": "Hi", "cache_control": CACHED},
        {"role": "assistant", "content": [text("a"), text("b")], "cache_control": CACHED},
        {"role": "tool", "tool_call_id": "c1", "content": "x", "cache_control": CACHED},
    )
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [text("x")]}
    assert said == [
        user(text("Hi", cache_control=CACHED)),
        assistant(text("a"), text("b", cache_control=CACHED)),
        user({**result, "cache_control": CACHED}),
    ]


def test_an_empty_question_is_anthropics_to_refuse() -> None:
    assert turns({"role": "user", "content": ""}) == [user(text(""))]


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"role": "function", "content": "x"}, "has the role 'function'"),
        ({"role": "user", "content": None}, "needs a 'content'"),
        ({"role": "tool", "tool_call_id": "c", "content": 7}, "needs a 'content'"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "'input_audio'"),
        ({"role": "user", "content": ["x"]}, "part of type None"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "no usable address"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}]},
            "no usable address",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": "data:text/html;base64,aGk="}],
            },
            "no usable address",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
            "application/pdf",
        ),
        ({"role": "assistant", "function_call": {"name": "f"}}, "function_call"),
        (
            {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]},
            "tool of type 'custom'",
        ),
        ({"role": "assistant", "tool_calls": ["f"]}, "tool of type None"),
        ({"role": "assistant", "tool_calls": [call("f", "{")]}, "'f'"),
        ({"role": "assistant", "tool_calls": [call("f", "[1]")]}, "no JSON object"),
    ],
)
def test_what_cannot_be_said_is_named(message: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        turns(HI, message)
    assert str(caught.value).startswith("messages[1] ")
    assert what in str(caught.value)
    assert caught.value.context["param"] == "messages"


def test_a_system_prompt_alone_is_no_conversation() -> None:
    with pytest.raises(InvalidChatRequest, match="nothing but system"):
        conversation([{"role": "system", "content": "x"}])
