from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import object_of
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.wires.gemini_answer import Speaker, message_of
from agentcore.llm_gateway.wires.gemini_contents import (
    FOREIGN_SIGNATURE,
    Conversation,
    conversation_of,
    generation_of,
)

PIXEL = "data:image/png;base64,iVBORw0KGgo="
ARGUMENTS = st.dictionaries(
    st.text(max_size=5), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=3
)
CALLS = st.lists(st.tuples(st.sampled_from(["find", "tell"]), ARGUMENTS, st.booleans()), max_size=4)


def told(*messages: dict[str, Any], model: str = "gemini-2.5-flash") -> Conversation:
    return conversation_of(list(messages), model, "gemini")


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def calling(*calls: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls), **others}


def call(name: str, arguments: str = "{}", known: str = "c1", **others: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": known, "type": "function", "function": function, **others}


def signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def test_turns_alternate_and_instructions_stand_apart() -> None:
    talk = told(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        user({"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}),
        {"role": "assistant", "content": "Three"},
        {"role": "developer", "content": [{"type": "text", "text": "Count on."}]},
        {"role": "user", "content": "four", "name": "Ann"},
    )
    assert talk.system == [{"text": "Be brief."}, {"text": "Count on."}]
    assert talk.contents == [
        {"role": "user", "parts": [{"text": "One"}, {"text": "two"}]},
        {"role": "model", "parts": [{"text": "Three"}]},
        {"role": "user", "parts": [{"text": "four"}]},
    ]


def test_instructions_alone_are_taken_as_said() -> None:
    assert told({"role": "system", "content": "Go."}) == (
        [],
        [{"role": "user", "parts": [{"text": "Go."}]}],
    )


def test_what_several_calls_returned_stands_together_in_its_own_turn() -> None:
    talk = told(
        {"role": "user", "content": "Weather?"},
        calling(call("look", '{"at":"Bonn"}', "c1"), call("tell", "", "c2"), content="Wait."),
        {"role": "tool", "tool_call_id": "c2", "content": "12345678901234567890"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "And?"},
    )
    assert talk.contents[1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Wait."},
                {"functionCall": {"id": "c1", "name": "look", "args": {"at": "Bonn"}}},
                {"functionCall": {"id": "c2", "name": "tell", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "c2",
                        "name": "tell",
                        "response": {"output": "12345678901234567890"},
                    }
                },
                {"functionResponse": {"id": "c1", "name": "look", "response": {"output": "rain"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


def parts_of(message: dict[str, Any], model: str) -> Any:
    talk = told(message, model=model)
    return object_of(talk.contents[0])["parts"]


def test_signatures_go_back_where_they_came_from() -> None:
    message = calling(
        call("f", **signed("first")),
        call("g", known="c2"),
        content="Hm.",
        reasoning_content="unsaid",
        **signed("of the text"),
    )
    assert parts_of(message, "gemini-3.1-pro") == [
        {"text": "Hm.", "thoughtSignature": "of the text"},
        {
            "functionCall": {"id": "c1", "name": "f", "args": {}},
            "thoughtSignature": "first",
        },
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]
    assert parts_of({"role": "assistant", "content": "", **signed("alone")}, "gemini-3") == [
        {"text": "", "thoughtSignature": "alone"}
    ]


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("gemini-3.1-pro-preview", FOREIGN_SIGNATURE),
        ("gemini-flash-latest", FOREIGN_SIGNATURE),
        ("gemini-2.5-pro", None),
    ],
)
def test_calls_of_another_model_are_marked_as_such(model: str, signature: str | None) -> None:
    first, second = parts_of(calling(call("f"), call("g", known="c2")), model)
    assert first.get("thoughtSignature") == signature
    assert "thoughtSignature" not in second


def test_the_generation_is_read_from_the_name() -> None:
    names = ["models/gemini-3.8-flash", "gemini-2.5-pro", "gemini-flash-latest", "gemma-4"]
    assert [generation_of(name) for name in names] == [3, 2, None, None]


@pytest.mark.parametrize(
    ("part", "theirs"),
    [
        (
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        ),
        (
            {"type": "image_url", "image_url": PIXEL.replace(";", ";charset=utf-8;", 1)},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.JPG?w=1.png"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/b.JPG?w=1.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b"}},
            {"fileData": {"fileUri": "https://a.example/b"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        ),
    ],
)
def test_what_is_no_text(part: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert told(user(part)).contents == [{"role": "user", "parts": [theirs]}]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"role": "function", "content": "x"}, "the role 'function'"),
        ({"role": ["user"], "content": "x"}, r"the role \['user'\]"),
        (user({"type": "video_url"}), "the type 'video_url'"),
        (user({"type": "image_url", "image_url": {"url": "http://a/b.png"}}), "'http://a/b.png'"),
        (user({"type": "image_url", "image_url": {"url": "gs://a/b.png"}}), "'gs://a/b.png'"),
        (user({"type": "image_url"}), "without a url"),
        (user({"type": "image_url", "image_url": {"url": "data:a/b,x"}}), "not in base64"),
        (user({"type": "file", "file": {"file_id": "file-1"}}), "no data: URL"),
        ({"role": "system", "content": [{"type": "image_url"}]}, "where only text can be"),
        ({"role": "tool", "tool_call_id": "c9", "content": "x"}, "'c9', which no call"),
        (calling({"function": {}}), "names no function"),
        (calling(call("f", "{")), "'f' whose arguments are not JSON"),
        (calling(call("f", "[1]")), "'f' whose arguments are no JSON object"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(message: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidChatRequest, match=why) as caught:
        told(message)
    assert caught.value.context["param"] == "messages"


@settings(max_examples=50)
@given(st.text(max_size=20), CALLS, st.booleans())
def test_what_the_model_said_comes_back_as_it_was(
    text: str, calls: list[tuple[str, dict[str, Any], bool]], signs: bool
) -> None:
    made = [
        call(name, orjson.dumps(arguments).decode(), f"c{at}", **(signed(f"s{at}") if sign else {}))
        for at, (name, arguments, sign) in enumerate(calls)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if made else "")}
    if made:
        message["tool_calls"] = made
    if signs:
        message.update(signed("of the text"))
    _, contents = told({"role": "user", "content": "x"}, message)
    speaker = Speaker("an-answer", 0)
    content = contents[1] if len(contents) > 1 else {}
    assert message_of({"content": content}, speaker) == message
    assert speaker.calls == len(made)
