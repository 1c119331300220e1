from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.dialects.messages_content import messages_of
from agentcore.llm_gateway.errors import InvalidChatRequest

CACHED = {"type": "ephemeral"}


def text(said: Any, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def use(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": arguments}


def result(call_id: str, content: Any = "", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def turns(*said: dict[str, Any], thoughts: str = "reasoning_content") -> list[Any]:
    return messages_of(None, list(said), thoughts)


def user(*blocks: dict[str, Any]) -> list[Any]:
    return turns({"role": "user", "content": list(blocks)})


def assistant(*blocks: dict[str, Any], thoughts: str = "reasoning_content") -> list[Any]:
    return turns({"role": "assistant", "content": list(blocks)}, thoughts=thoughts)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief.", cache_control=CACHED)], "Be brief."),
        ([text("One."), text("Two.")], [text("One."), text("Two.")]),
    ],
)
def test_the_system_prompt(system: Any, expected: Any) -> None:
    hello: list[Any] = [{"role": "user", "content": "Hello"}]
    assert messages_of(system, hello, "") == [{"role": "system", "content": expected}, *hello]
    assert messages_of("", hello, "") == hello


def test_a_system_message_stays_where_it_is() -> None:
    said = [
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hi"},
    ]
    assert turns(*said) == said


def test_results_are_messages_of_their_own() -> None:
    said = user(result("a", "one"), result("b", [text("two"), text("2")]), text("Go on."))
    assert said == [
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": [text("two"), text("2")]},
        {"role": "user", "content": "Go on."},
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("no such file", "Error: no such file"),
        ("ERROR: no such file", "ERROR: no such file"),
        (None, "Error: "),
        ([text("a"), text("b")], [text("Error:"), text("a"), text("b")]),
    ],
)
def test_a_failure_of_a_tool_is_said_in_words(content: Any, expected: Any) -> None:
    ((told),) = user(result("a", content, is_error=True))
    assert told["content"] == expected


def test_calls() -> None:
    signed = {**use("b"), "extra_content": {"google": {"thought_signature": "x"}}}
    assert assistant(text("Let me see."), use("a", city="Rome"), signed) == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                call("a", '{"city":"Rome"}'),
                {**call("b", "{}"), "extra_content": signed["extra_content"]},
            ],
        }
    ]
    (silent,) = assistant(use("a"))
    assert silent["content"] is None


def test_the_assistants_texts_are_one() -> None:
    assert assistant(text("a"), text("b", citations=[])) == [{"role": "assistant", "content": "ab"}]


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "agentcore"}


def test_thoughts() -> None:
    hidden = {"type": "redacted_thinking", "data": "x"}
    said = {"role": "assistant", "content": "a"}
    assert assistant(THOUGHT, hidden, text("a")) == [{**said, "reasoning_content": "Hm."}]
    assert assistant(THOUGHT, hidden, text("a"), thoughts="") == [said]
    assert assistant(THOUGHT, thoughts="") == []


def test_pictures_and_documents() -> None:
    inline = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    plain = {"type": "text", "media_type": "text/plain", "data": "told"}
    ((told),) = user(
        {"type": "image", "source": inline, "cache_control": CACHED},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "document", "source": pdf},
        {"type": "document", "source": plain},
        {"type": "document", "source": {"type": "content", "content": [text("a"), text("b")]}},
        {"type": "document", "source": {"type": "content", "content": "c"}},
    )
    file = "data:application/pdf;base64,JVBERg=="
    assert told["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": file}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": file}},
        text("told"),
        text("a"),
        text("b"),
        text("c"),
    ]


def test_a_picture_that_a_tool_gave_back() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    ((told),) = user(result("a", [image]))
    assert told["content"] == [
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    ]


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "'file'"),
        ({"type": "document", "source": {"type": "url", "url": "x"}}, "'url'"),
        ({"type": "search_result", "source": "x"}, "'search_result'"),
        ({"type": "container_upload", "file_id": "f"}, "'container_upload'"),
        ({"type": "server_tool_use", "id": "s"}, "'server_tool_use'"),
        ({}, "None"),
        ("x", "None"),
        (text(None), "must be a text"),
        (text([{}]), "must be a text"),
        ({"type": "document", "source": {"type": "text", "data": 7}}, "must be a text"),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_what_cannot_be_said_is_named(role: str, block: Any, what: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        turns({"role": "user", "content": "a"}, {"role": role, "content": [block]})
    assert caught.value.context["param"] == "messages.1.content"
    assert what in caught.value.detail


@pytest.mark.parametrize("content", [7, {"type": "text"}, True])
def test_what_a_tool_gave_back_is_a_text_or_blocks(content: Any) -> None:
    with pytest.raises(InvalidChatRequest, match="a text or a list of blocks"):
        user(result("a", content))


def test_arguments_too_deep_to_be_written_are_named() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(
        InvalidChatRequest, match=r"messages\.0\.content\.input' is nested too deep"
    ):
        assistant(use("t1", given=deep))
