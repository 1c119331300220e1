"""Tests of wires/responses.py and dialects/responses.py."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.dialects.responses import RESPONSES, ResponsesTranslation
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wires.chat import ChatWire
from agentcore.llm_gateway.wires.responses import ResponsesWire
from tests.fakes.cutting import CUTS, cut
from tests.fakes.llm_upstream import delta, events_of
from tests.fakes.llm_upstream import event as chunk

BODY: dict[str, Any] = {"model": "m", "input": "Hello", "truncation": "auto", "new_member": [1]}
CALL = ChatCall("m", BODY, dialect="responses")
WIRE = ResponsesWire("p")
USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 4},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 39,
}
TOKENS = TokenUsage(30, 9, 39, 20, 5, 4)
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "output": [],
    "usage": USAGE,
}


def event(kind: str, **members: Any) -> bytes:
    data = orjson.dumps({"type": kind, "sequence_number": 0, **members})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


CREATED = event("response.created", response={"status": "in_progress"})
ADDED = event("response.output_item.added", output_index=0, item={"type": "message"})
TEXT = event("response.output_text.delta", delta="Hel", obfuscation="xy")
DONE = event("response.completed", response=RESPONSE)
STREAM = CREATED + ADDED + TEXT + TEXT + DONE


def scanned(*parts: bytes) -> tuple[Any, bytes]:
    scanner = WIRE.scanner(CALL)
    out = b"".join(scanner.feed(part) for part in parts)
    return scanner, out + scanner.end()


def test_the_request_is_the_callers_own() -> None:
    assert orjson.loads(WIRE.request(CALL, "theirs")) == {**BODY, "model": "theirs"}
    assert WIRE.path(CALL, "theirs") == "/responses"


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_plain_answer_is_the_providers_bytes(status: str) -> None:
    raw = orjson.dumps({**RESPONSE, "status": status})
    reply = WIRE.answer(raw, CALL)
    assert reply.body is raw
    assert reply.usage == TOKENS


def failed(**error: Any) -> dict[str, Any]:
    return {**RESPONSE, "status": "failed", "error": error or None}


FAILURES: list[tuple[dict[str, Any], type[UpstreamError]]] = [
    (failed(code="server_error", message="boom"), UpstreamUnavailable),
    (failed(), UpstreamUnavailable),
    (failed(code="rate_limit_exceeded", message="slow down"), UpstreamRateLimited),
    (failed(code="invalid_prompt", message="no"), UpstreamRejected),
    (failed(code="image_too_large", message="no"), UpstreamRejected),
    ({"error": {"message": "boom"}}, UpstreamUnavailable),
]


@pytest.mark.parametrize(("document", "expected"), FAILURES)
def test_a_failed_response_is_an_error_behind_200(
    document: dict[str, Any], expected: type[UpstreamError]
) -> None:
    with pytest.raises(expected) as caught:
        WIRE.answer(orjson.dumps(document), CALL)
    if isinstance(caught.value, UpstreamRejected):
        assert orjson.loads(caught.value.body) == {"error": document["error"]}


@pytest.mark.parametrize(
    "document",
    [{}, {"output": {}}, {**RESPONSE, "status": "queued"}, {**RESPONSE, "status": "cancelled"}, []],
)
def test_what_is_no_whole_response_is_none(document: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        WIRE.answer(orjson.dumps(document), CALL)


@given(CUTS)
def test_how_the_network_cuts_a_stream_does_not_matter(cuts: list[int]) -> None:
    scanner, out = scanned(*cut(STREAM, cuts))
    assert out == STREAM
    assert scanner.failure is None
    assert scanner.usage == TOKENS


@given(st.integers(0, len(STREAM) - 1))
def test_a_stream_without_its_last_event_is_cut(length: int) -> None:
    scanner, out = scanned(STREAM[:length])
    # The blank line behind the last event is an ornament.
    assert (scanner.failure is None) == (length >= len(STREAM) - 2)
    assert b"response.completed" not in out or scanner.failure is None


@pytest.mark.parametrize(
    ("content", "commits"),
    [
        (CREATED + ADDED, False),
        (event("response.web_search_call.searching"), False),
        (b": keepalive\n\n", False),
        (event("keepalive"), False),
        (TEXT, True),
        (event("response.function_call_arguments.delta", delta="{"), True),
        (event("response.reasoning_summary_text.delta", delta="I"), True),
        (event("response.output_item.done", item={"type": "web_search_call"}), True),
        (event("response.incomplete", response=RESPONSE), True),
    ],
)
def test_it_commits_on_content(content: bytes, commits: bool) -> None:
    scanner = WIRE.scanner(CALL)
    assert scanner.feed(content) == content
    assert scanner.committed == commits


def test_an_incomplete_response_is_a_whole_stream() -> None:
    last = event("response.incomplete", response={**RESPONSE, "status": "incomplete"})
    scanner, out = scanned(CREATED + TEXT + last + b"data: [DONE]\n\n")
    assert out.endswith(b"data: [DONE]\n\n")
    assert scanner.done
    assert scanner.failure is None


def test_done_alone_proves_nothing() -> None:
    scanner, out = scanned(CREATED, TEXT, b"data: [DONE]\n\n")
    assert isinstance(scanner.failure, UpstreamTruncated)
    assert b"[DONE]" not in out


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (
            event("response.failed", response=failed(code="server_error", message="x")),
            UpstreamUnavailable,
        ),
        (event("response.failed", response={}), UpstreamUnavailable),
        (
            event("response.failed", response=failed(code="invalid_prompt", message="x")),
            UpstreamRejected,
        ),
        (event("error", code="rate_limit_exceeded", message="x"), UpstreamRateLimited),
        (event("error", code="server_error", message="x", param=None), UpstreamUnavailable),
        (event("error", error={"code": "rate_limit_exceeded"}), UpstreamRateLimited),
        (b'data: {"no": "type"}\n\n', UpstreamMalformed),
        (b"event: response.completed\ndata: {broken\n\n", UpstreamMalformed),
        (b'{"error": {"message": "boom"}}\n\n', UpstreamTruncated),
    ],
)
def test_a_stream_that_fails_is_not_passed_off_as_whole(
    last: bytes, expected: type[UpstreamError]
) -> None:
    scanner, out = scanned(CREATED, TEXT, last + DONE * (expected is not UpstreamTruncated))
    assert type(scanner.failure) is expected
    assert out.startswith(CREATED + TEXT)
    assert b"response.completed" not in out


def test_a_plain_failure_instead_of_a_stream() -> None:
    scanner, out = scanned(orjson.dumps({"error": {"message": "boom"}}))
    assert type(scanner.failure) is UpstreamUnavailable
    assert out == b""


def test_a_refusal_is_told_by_its_status() -> None:
    failure = WIRE.failure(429, b"{}", retry_after=3.0)
    assert isinstance(failure, UpstreamRateLimited)
    assert failure.retry_after == 3.0


def parsed(**changes: Any) -> Any:
    return RESPONSES.parse(orjson.dumps({**BODY, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"input": [{"role": "user", "content": "Hello"}], "store": True},
        {"input": None, "prompt": {"id": "pmpt_1"}},
        {"input": None, "previous_response_id": "resp_1"},
        {"background": False},
    ],
)
def test_what_can_be_routed_is(changes: dict[str, Any]) -> None:
    assert parsed(**changes) == {**BODY, **changes}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": 7}, "model"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"input": ["Hello"]}, "input"),
        ({"background": True}, "background"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_what_cannot_be_routed_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        parsed(**changes)
    assert caught.value.context["param"] == param


def test_its_form_at_the_ingress() -> None:
    assert RESPONSES.max_tokens({"max_output_tokens": 5}) == 5
    assert RESPONSES.max_tokens({"max_output_tokens": "5"}) == 5
    assert RESPONSES.max_tokens({"max_output_tokens": "five"}) is None
    assert RESPONSES.wants_usage({})


def test_an_error_event_is_what_the_reference_says_and_what_openai_sends() -> None:
    lines = RESPONSES.error_event(UpstreamUnavailable("gone")).splitlines()
    assert lines[0] == b"event: error"
    told = orjson.loads(lines[1].removeprefix(b"data: "))
    assert (told["type"], told["code"]) == ("error", "upstream_unavailable")
    assert told["message"] == told["error"]["message"] == "gone"
    assert told["error"]["type"] == "server_error"


def test_a_refusal_names_the_provider() -> None:
    body: dict[str, Any] = {"model": "m", "input": "Hello", "store": True}
    with pytest.raises(InvalidChatRequest, match="cluster is asked by chat") as caught:
        ResponsesTranslation("cluster").to_chat(body)
    assert caught.value.context == {"param": "store", "provider": "cluster"}


TRANSLATED = TranslatedWire(ChatWire("p"), ResponsesTranslation("p"))
CHUNKS = b"".join(
    [
        delta(role=True),
        chunk('{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"reasoning":"I think"}}]}'),
        *events_of("Hello there, friend!", usage=True)[1:],
    ]
)


def translated(*parts: bytes) -> tuple[Any, bytes]:
    scanner = TRANSLATED.scanner(CALL)
    out = b"".join(scanner.feed(part) for part in parts)
    return scanner, out + scanner.end()


WHOLE = translated(CHUNKS)[1]


@given(CUTS)
def test_how_the_network_cuts_a_translated_stream_does_not_matter(cuts: list[int]) -> None:
    scanner, out = translated(*cut(CHUNKS, cuts))
    assert out == WHOLE
    assert scanner.failure is None
    assert scanner.usage == TokenUsage(12, 3, 15)


@given(st.integers(0, len(CHUNKS) - 1))
def test_a_translated_stream_that_is_cut_has_no_end(length: int) -> None:
    scanner, out = translated(CHUNKS[:length])
    assert (b"response.completed" in out) == (scanner.failure is None)


def test_a_rejection_stays_as_it_is() -> None:
    body = b'{"error": {"message": "no", "param": "tools"}}'
    failure = TRANSLATED.failure(400, body, retry_after=None)
    assert isinstance(failure, UpstreamRejected)
    assert RESPONSES.error_body(failure) == body
