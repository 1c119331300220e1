from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.dialects.responses_input import messages_of, seal
from agentcore.llm_gateway.errors import InvalidChatRequest

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"}
CALL_THERE = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"text": "Hm"}]}
SAID = {
    "type": "message",
    "role": "assistant",
    "id": "msg_1",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []}],
}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
PICTURE_THERE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
}
TEXT = {"type": "input_text", "text": "Hi"}
ASKED: dict[str, Any] = {"role": "user", "content": "Hi"}


def says(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ("Hi", [ASKED]),
        ([ASKED], [ASKED]),
        (
            [{"role": "developer", "content": "Be brief"}, ASKED],
            [{"role": "system", "content": "Be brief"}, ASKED],
        ),
        ([says("user", {"type": "input_text", "text": "Hi"})], [ASKED]),
        (
            [says("user", {"type": "input_text", "text": "Hi"}, PICTURE)],
            [{"role": "user", "content": [{"type": "text", "text": "Hi"}, PICTURE_THERE]}],
        ),
        (
            [says("user", {"type": "input_image", "image_url": "http://x", "detail": "original"})],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "http://x", "detail": "high"}}
                    ],
                }
            ],
        ),
        (
            [says("user", {"type": "input_file", "filename": "a.pdf", "file_data": "AA=="})],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}}
                    ],
                }
            ],
        ),
        (
            [says("user", {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
                    ],
                }
            ],
        ),
        (
            [
                says(
                    "user",
                    {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"ttl": 1}},
                )
            ],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"ttl": 1}}
                    ],
                }
            ],
        ),
        ([SAID], [{"role": "assistant", "content": "Yes"}]),
        (
            [SAID, SAID],
            [{"role": "assistant", "content": "Yes"}, {"role": "assistant", "content": "Yes"}],
        ),
        (
            [says("assistant", {"type": "refusal", "refusal": "No"})],
            [{"role": "assistant", "content": None, "refusal": "No"}],
        ),
        (
            [THOUGHT, SAID, CALL, {**CALL, "call_id": "c2"}, RESULT],
            [
                {
                    "role": "assistant",
                    "content": "Yes",
                    "reasoning_content": "Hm",
                    "tool_calls": [CALL_THERE, {**CALL_THERE, "id": "c2"}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
            ],
        ),
        (
            [CALL, SAID],
            [
                {"role": "assistant", "content": None, "tool_calls": [CALL_THERE]},
                {"role": "assistant", "content": "Yes"},
            ],
        ),
        (
            [THOUGHT, ASKED],
            [{"role": "assistant", "content": "", "reasoning_content": "Hm"}, ASKED],
        ),
        (
            [{"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}]}, CALL],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "ab",
                    "tool_calls": [CALL_THERE],
                }
            ],
        ),
        # What another provider sealed says nothing here.
        ([{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, ASKED], [ASKED]),
        (
            [{"type": "reasoning", "encrypted_content": seal([{"type": "x"}])}, SAID],
            [{"role": "assistant", "content": "Yes", "thinking_blocks": [{"type": "x"}]}],
        ),
        (
            [{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {**CALL_THERE, "extra_content": {"google": {"thought_signature": "s"}}}
                    ],
                }
            ],
        ),
        (
            [{**RESULT, "output": [{"type": "input_text", "text": "42"}, PICTURE]}],
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [{"type": "text", "text": "42"}, PICTURE_THERE],
                }
            ],
        ),
    ],
)
def test_items_become_messages(items: Any, messages: list[Any]) -> None:
    assert messages_of(None, items) == messages


def test_instructions_come_first() -> None:
    assert messages_of("Be brief", "Hi") == [{"role": "system", "content": "Be brief"}, ASKED]


@pytest.mark.parametrize("sealed", ["thinking_blocks.!", "thinking_blocks.AAAA", seal(["x"])])
def test_a_broken_seal_says_nothing(sealed: str) -> None:
    items: Any = [{"type": "reasoning", "encrypted_content": sealed}, ASKED]
    assert messages_of(None, items) == [ASKED]


@pytest.mark.parametrize(
    ("item", "param", "what"),
    [
        ("Hi", "input[1]", "must be an object"),
        ({"type": "item_reference", "id": "msg_1"}, "input[1]", "msg_1"),
        ({"type": "web_search_call", "id": "ws_1"}, "input[1].type", "web_search_call"),
        ({"type": "custom_tool_call"}, "input[1].type", "custom_tool_call"),
        ({"role": "tool", "content": "x"}, "input[1].role", "tool"),
        ({"role": "user"}, "input[1].content", "a text or a list"),
        ({"role": "user", "content": ["x"]}, "input[1].content[0]", "must be an object"),
        (says("user", {"type": "input_video"}), "input[1].content[0].type", "input_video"),
        (says("user", {"type": "input_text"}), "input[1].content[0].text", "must be a text"),
        (
            says("user", {"type": "input_image", "file_id": "file_1"}),
            "input[1].content[0].image_url",
            "files are not kept",
        ),
        (says("user", {"type": {}}), "input[1].content[0].type", "{}"),
        (
            says("user", {"type": "input_file", "file_url": "http://x"}),
            "input[1].content[0].file_data",
            "file_url",
        ),
        ({**CALL, "arguments": {}}, "input[1].arguments", "must be a text"),
        ({**CALL, "call_id": None}, "input[1].call_id", "must be a text"),
        ({**RESULT, "call_id": None}, "input[1].call_id", "the call"),
        ({**RESULT, "output": 42}, "input[1].output", "a text or a list"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_place(item: Any, param: str, what: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        messages_of(None, [ASKED, item])
    assert caught.value.context["param"] == param
    assert what in f"{caught.value.detail} {caught.value.hint}"


def test_instructions_are_a_text() -> None:
    with pytest.raises(InvalidChatRequest, match="instructions"):
        messages_of([ASKED], "Hi")
