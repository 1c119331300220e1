from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.chat_wire import usage_of
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.wires.gemini_answer import (
    Finish,
    Speaker,
    blocked,
    finish_of,
    logprobs_of,
    message_of,
    tokens_of,
    usage_document,
)


def saying(*parts: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        (None, None),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("STOP", Finish("stop")),
        ("MAX_TOKENS", Finish("length")),
        ("SAFETY", Finish("content_filter", "SAFETY")),
        ("RECITATION", Finish("content_filter", "RECITATION")),
        ("BLOCKLIST", Finish("content_filter", "BLOCKLIST")),
        ("PROHIBITED_CONTENT", Finish("content_filter", "PROHIBITED_CONTENT")),
        ("SPII", Finish("content_filter", "SPII")),
        ("LANGUAGE", Finish("content_filter", "LANGUAGE")),
        ("OTHER", Finish("content_filter", "OTHER")),
        ("A_REASON_OF_TOMORROW", Finish("content_filter", "A_REASON_OF_TOMORROW")),
    ],
)
def test_why_an_answer_ended(reason: str | None, finish: Finish | None) -> None:
    assert finish_of({"finishReason": reason}, "gemini") == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_an_answer_that_the_model_could_not_write_is_none(reason: str) -> None:
    with pytest.raises(UpstreamMalformed, match=f"gemini failed with {reason}: print"):
        finish_of({"finishReason": reason, "finishMessage": "print(x)"}, "gemini")


def test_a_stop_behind_calls_is_for_the_calls() -> None:
    assert Finish("stop").choice(called=True) == {"finish_reason": "tool_calls"}
    assert Finish("length").choice(called=True) == {"finish_reason": "length"}
    assert Finish("content_filter", "SPII").choice(called=False) == {
        "finish_reason": "content_filter",
        "native_finish_reason": "SPII",
    }


def test_a_question_that_was_blocked() -> None:
    assert blocked({"promptFeedback": {"blockReason": "SAFETY"}}) == Finish(
        "content_filter", "SAFETY"
    )
    assert blocked({"promptFeedback": {"safetyRatings": []}}) is None


def test_thoughts_text_and_images_are_told_apart() -> None:
    candidate = saying(
        {"text": "Let me ", "thought": True},
        {"text": "see.", "thought": True},
        {"text": "A "},
        {"text": "cat", "thoughtSignature": "sig"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"executableCode": {}},
    )
    assert message_of(candidate, Speaker("r", 0)) == {
        "role": "assistant",
        "content": "A cat",
        "reasoning_content": "Let me see.",
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        "extra_content": {"google": {"thought_signature": "sig"}},
    }


def test_calls_without_an_id_get_one_that_stays() -> None:
    candidate = saying(
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "sig"},
        {"functionCall": {"id": "theirs", "name": "g"}},
        {"functionCall": {"name": "h"}},
    )
    message: Any = message_of(candidate, Speaker("r", 1))
    assert message["content"] is None
    assert message["tool_calls"] == [
        {
            "id": "call_r_1_0",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a":1}'},
            "extra_content": {"google": {"thought_signature": "sig"}},
        },
        {"id": "theirs", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"id": "call_r_1_2", "type": "function", "function": {"name": "h", "arguments": "{}"}},
    ]


def test_an_answer_without_words_has_an_empty_text() -> None:
    assert message_of({}, Speaker("r", 0)) == {"role": "assistant", "content": ""}


def test_the_likelihood_of_each_token_and_of_others_in_its_place() -> None:
    chosen: list[Any] = [{"token": "H\u00e9", "tokenId": 7, "logProbability": -0.5}, {"token": "y"}]
    top: list[Any] = [{"candidates": [chosen[0], {"token": "Ho", "logProbability": -2}]}]
    assert logprobs_of({"logprobsResult": {"chosenCandidates": chosen, "topCandidates": top}}) == {
        "content": [
            {
                "token": "H\u00e9",
                "logprob": -0.5,
                "bytes": [72, 195, 169],
                "top_logprobs": [
                    {"token": "H\u00e9", "logprob": -0.5, "bytes": [72, 195, 169]},
                    {"token": "Ho", "logprob": -2, "bytes": [72, 111]},
                ],
            },
            {"token": "y", "logprob": None, "bytes": [121], "top_logprobs": []},
        ],
        "refusal": None,
    }
    assert logprobs_of({}) is None


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        (None, None),
        ({}, None),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, TokenUsage(5, 0, 5)),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 30,
                "toolUsePromptTokenCount": 3,
                "totalTokenCount": 140,
            },
            TokenUsage(103, 37, 140, cached_tokens=60, reasoning_tokens=30),
        ),
        ({"promptTokenCount": 2**31 - 1, "candidatesTokenCount": 1}, None),
        ({"promptTokenCount": 5, "candidatesTokenCount": -1}, TokenUsage(5, 0, 5)),
    ],
)
def test_tokens_are_counted_as_openai_counts_them(metadata: Any, usage: TokenUsage | None) -> None:
    assert tokens_of(metadata) == usage
    assert usage_of(usage_document(usage)) == usage


def test_what_is_heard_or_drawn_is_counted_as_a_part() -> None:
    text, audio, image = ({"modality": name} for name in ("TEXT", "AUDIO", "IMAGE"))
    metadata: Any = {
        "promptTokenCount": 1000,
        "promptTokensDetails": [{**text, "tokenCount": 400}, {**audio, "tokenCount": 600}],
        "cachedContentTokenCount": 400,
        "cacheTokensDetails": [{**audio, "tokenCount": 300}, {**text, "tokenCount": 100}],
        "candidatesTokenCount": 1300,
        "candidatesTokensDetails": [{**image, "tokenCount": 1290}, audio, "odd"],
    }
    assert tokens_of(metadata) == TokenUsage(
        1000,
        1300,
        2300,
        400,
        audio_prompt_tokens=600,
        audio_cached_tokens=300,
        image_completion_tokens=1290,
    )


def test_arguments_too_deep_to_be_written_are_malformed() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(UpstreamMalformed, match="nested too deep"):
        message_of(saying({"functionCall": {"name": "f", "args": deep}}), Speaker("r", 0))
