from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wires.gemini_embeddings import GeminiEmbeddingsWire

MODEL = "gemini-embedding-001"
WIRE = GeminiEmbeddingsWire("gemini")


def call(**members: Any) -> ChatCall:
    return ChatCall("e", {"model": "e", "input": "a", **members}, dialect="embeddings")


def told(*vectors: Any, **others: Any) -> bytes:
    return orjson.dumps({"embeddings": [{"values": vector} for vector in vectors], **others})


def test_each_text_is_asked_for() -> None:
    asked = call(input=["a", "b"], dimensions=2, user="u", encoding_format="base64")
    assert WIRE.path(asked, MODEL) == "/models/gemini-embedding-001:batchEmbedContents"
    common = {"model": "models/gemini-embedding-001", "outputDimensionality": 2}
    assert orjson.loads(WIRE.request(asked, MODEL)) == {
        "requests": [
            {**common, "content": {"parts": [{"text": "a"}]}},
            {**common, "content": {"parts": [{"text": "b"}]}},
        ]
    }


def test_the_answer_is_openais() -> None:
    raw = told([0.5, 1], [2, -0.25], usageMetadata={"promptTokenCount": 7})
    reply = WIRE.answer(raw, call(input=["a", "b"]))
    assert orjson.loads(reply.body) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 1]},
            {"object": "embedding", "index": 1, "embedding": [2, -0.25]},
        ],
        "model": "e",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert reply.usage == TokenUsage(7, 0, 7)


def test_what_is_not_counted_is_unknown() -> None:
    reply = WIRE.answer(told([1]), call())
    assert (reply.document["usage"], reply.usage) == (None, None)


def test_base64_holds_32_bit_floats() -> None:
    reply: Any = WIRE.answer(told([0.5, -2]), call(encoding_format="base64"))
    packed = reply.document["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, -2.0)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1], [2]]}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"truncate": True}, "truncate"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        WIRE.request(call(**members), MODEL)
    assert caught.value.context["param"] == param


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"<html>", UpstreamMalformed),
        (b"{}", UpstreamMalformed),
        (told(), UpstreamMalformed),
        (told([1], [2]), UpstreamMalformed),
        (told([]), UpstreamMalformed),
        (told(["x"]), UpstreamMalformed),
        (told(None), UpstreamMalformed),
        (told([1e300]), UpstreamMalformed),
        (b'{"error":{"code":503}}', UpstreamUnavailable),
    ],
)
def test_what_is_no_answer(raw: bytes, expected: type[UpstreamError]) -> None:
    with pytest.raises(expected):
        WIRE.answer(raw, call(encoding_format="base64"))


def test_a_refused_key_is_told_as_elsewhere() -> None:
    assert isinstance(WIRE.failure(403, b"", retry_after=None), UpstreamCredentialRefused)


def test_they_are_not_streamed() -> None:
    with pytest.raises(InvalidChatRequest, match="not streamed"):
        WIRE.request(call()._replace(stream=True), MODEL)
    with pytest.raises(InvalidChatRequest, match="not streamed"):
        WIRE.scanner(call())
