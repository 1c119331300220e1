"""Tests of wires/embeddings.py and dialects/embeddings.py."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.dialects.embeddings import EMBEDDINGS, inputs_in
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wires.embeddings import EmbeddingsWire

BODY: dict[str, Any] = {"model": "m", "input": ["a", "b"], "dimensions": 3, "truncate": "END"}
CALL = ChatCall("m", BODY, dialect="embeddings")
WIRE = EmbeddingsWire("p")


def answer(*vectors: Any, **more: Any) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    return orjson.dumps({"object": "list", "data": data, "model": "theirs", **more})


def parsed(**changes: Any) -> Any:
    return EMBEDDINGS.parse(orjson.dumps({**BODY, **changes}))


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("text", 1),
        (["one", "two"], 2),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
        ([[0]], 1),
        ("", 0),
        ([], 0),
        ([""], 0),
        ([[]], 0),
        (["a", 1], 0),
        ([True], 0),
        ([{"text": "a"}], 0),
        (None, 0),
        (7, 0),
    ],
)
def test_inputs_are_counted(value: Any, count: int) -> None:
    assert inputs_in(value) == count


def test_a_request_is_the_callers_own() -> None:
    assert parsed() == BODY
    assert parsed(encoding_format="base64")["encoding_format"] == "base64"
    assert orjson.loads(WIRE.request(CALL, "theirs")) == {**BODY, "model": "theirs"}
    assert WIRE.path(CALL, "theirs") == "/embeddings"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": ""}, "model"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"encoding_format": "bytes"}, "encoding_format"),
        ({"encoding_format": ["float"]}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "3"}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_cannot_be_routed_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        parsed(**changes)
    assert caught.value.context["param"] == param
    assert orjson.loads(EMBEDDINGS.error_body(caught.value))["error"]["param"] == param


def test_a_stream_is_refused_in_process_too() -> None:
    stream = CALL._replace(stream=True)
    with pytest.raises(InvalidChatRequest, match="not streamed"):
        WIRE.request(stream, "theirs")
    with pytest.raises(InvalidChatRequest, match="not streamed"):
        WIRE.scanner(stream)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, TokenUsage(5, 0, 5)),
        ({"total_tokens": 5}, TokenUsage(5, 0, 5)),
        ({"prompt_tokens": 5}, TokenUsage(5, 0, 5)),
        ({"prompt_tokens": "5"}, None),
        (None, None),
    ],
)
def test_an_answer_is_the_providers_bytes(usage: Any, expected: TokenUsage | None) -> None:
    raw = answer([0.5, 1], "AAAA", usage=usage)
    reply = WIRE.answer(raw, CALL)
    assert reply.body is raw
    assert reply.usage == expected


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "without a list of embeddings"),
        (b'{"data":{}}', "without a list of embeddings"),
        (answer([1], None), "without a list of embeddings"),
        (answer([1], []), "without a list of embeddings"),
        (b'{"data":[1,2]}', "without a list of embeddings"),
        (answer([1]), "1 embeddings for 2 inputs"),
        (answer([1], [2], [3]), "3 embeddings for 2 inputs"),
    ],
)
def test_an_answer_to_something_else_is_none(raw: bytes, what: str) -> None:
    with pytest.raises(UpstreamMalformed, match=what):
        WIRE.answer(raw, CALL)


def test_an_error_behind_200_is_one() -> None:
    with pytest.raises(UpstreamRateLimited):
        WIRE.answer(b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}', CALL)


def test_a_refusal_is_told_by_its_status() -> None:
    failure = WIRE.failure(400, b'{"error": {"message": "too long"}}', retry_after=None)
    assert isinstance(failure, UpstreamRejected)
    assert b"too long" in EMBEDDINGS.error_body(failure)


def test_its_form_at_the_ingress() -> None:
    assert EMBEDDINGS.max_tokens(BODY) is None
    assert not EMBEDDINGS.wants_usage(BODY)
    assert EMBEDDINGS.error_event(UpstreamMalformed("x")).startswith(b"data: ")
