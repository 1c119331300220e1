from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.errors import Forbidden, NotFound, Unauthenticated
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.chat_wire import (
    error_body,
    error_event,
    error_in,
    error_status,
    is_marked_private,
    max_tokens_of,
    parse_answer,
    parse_body,
    upstream_body,
    usage_of,
    wants_usage,
)
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage

MESSAGES = [{"role": "user", "content": "Hello"}]


def raw(**body: Any) -> bytes:
    return json.dumps({"model": "m", "messages": MESSAGES, **body}).encode()


def test_a_request_is_kept_whole() -> None:
    body = parse_body(raw(anything={"x": [1, None]}, temperature=0.5))
    assert body["anything"] == {"x": [1, None]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"model": "m", "messages": NaN}', None),
        (b"[" * 2000 + b"]" * 2000, None),
        (raw(model=""), "model"),
        (raw(model=7), "model"),
        (b'{"messages": [{}]}', "model"),
        (b'{"model": "m"}', "messages"),
        (raw(messages=[]), "messages"),
        (raw(messages="Hello"), "messages"),
        (raw(messages=["Hello"]), "messages"),
        (raw(stream="yes"), "stream"),
        (raw(stream_options=True), "stream_options"),
    ],
    ids=[f"case{number}" for number in range(15)],
)
def test_what_is_no_request_is_refused_by_name(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        parse_body(body)
    assert caught.value.context.get("param") == param


def test_null_is_as_good_as_absent() -> None:
    parse_body(raw(stream=None, stream_options=None, max_tokens=None))


def asked(document: bytes) -> ChatCall:
    body = parse_body(document)
    return ChatCall(
        model=str(body["model"]),
        body=body,
        stream=body.get("stream") is True,
        wants_usage=wants_usage(body),
    )


@pytest.mark.parametrize(
    "document",
    [
        b'{"model":"evil","model":"m","messages":[{}]}',
        b'{"mod\\u0065l":"evil","model":"m","messages":[{}]}',
        b'{"model":"m","mod\\u0065l":"m","messages":[{"model":"m"}]}',
        b'{"mod\\u0065l":"m","messages":[{"model":"m"}]}',
    ],
)
def test_no_second_model_is_smuggled_to_a_provider(document: bytes) -> None:
    sent = upstream_body(asked(document), "theirs")
    pairs = json.loads(sent, object_pairs_hook=list)
    assert [value for name, value in pairs if name == "model"] == ["theirs"]


def test_usage_is_added_to_streams_and_other_options_stay() -> None:
    call = asked(raw(stream=True, stream_options={"continuous_usage_stats": True}))
    sent = json.loads(upstream_body(call, "m"))
    assert sent["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}
    assert call.body["stream_options"] == {"continuous_usage_stats": True}


TEXT = st.text() | st.sampled_from(['"model"', "model", '\\"model\\": "x"', "{", '{"model":"m"}'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RESERVED = {"model", "messages", "stream", "stream_options"}


@given(
    st.dictionaries(TEXT.filter(lambda key: key not in RESERVED), VALUES, max_size=4),
    TEXT.filter(bool),
    TEXT.filter(bool),
    st.booleans(),
    st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": False, "x": 1}]),
    st.randoms(),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_only_the_model_and_the_asked_for_usage_change_on_the_way_up(
    extras: dict[str, Any],
    model: str,
    theirs: str,
    stream: bool,
    options: dict[str, Any] | None,
    chance: Random,
    indent: int | None,
    ascii_only: bool,
) -> None:
    document: dict[str, Any] = {
        **extras,
        "model": model,
        "messages": [{"role": "model", **extras}],
        "stream": stream,
    }
    if options is not None:
        document["stream_options"] = options
    members = list(document.items())
    chance.shuffle(members)
    try:
        sent = json.dumps(dict(members), indent=indent, ensure_ascii=ascii_only).encode()
        expected_model = theirs.encode().decode()
    except UnicodeEncodeError:
        return
    call = asked(sent)
    expected = {**document, "model": expected_model}
    if stream and not call.wants_usage:
        expected["stream_options"] = {**(options or {}), "include_usage": True}
    assert json.loads(upstream_body(call, expected_model)) == expected


def test_who_asks_for_usage() -> None:
    assert wants_usage({"stream_options": {"include_usage": True}})
    assert not wants_usage({"stream_options": {"include_usage": 1}})
    assert not wants_usage({})


@pytest.mark.parametrize("value", [True, "true", "yes", 1, "no?", {}])
def test_privacy_is_a_yes_unless_it_is_a_plain_no(value: object) -> None:
    assert is_marked_private(parse_body(raw(metadata={"agentcore_private": value})))


@pytest.mark.parametrize("metadata", [{}, None, {"agentcore_private": False}])
def test_no_mark_is_no_mark(metadata: object) -> None:
    assert not is_marked_private(parse_body(raw(metadata=metadata)))


@pytest.mark.parametrize("metadata", ["x", [{"agentcore_private": True}], 1])
def test_metadata_that_could_hide_a_mark_is_refused(metadata: object) -> None:
    with pytest.raises(InvalidChatRequest, match="metadata"):
        parse_body(raw(metadata=metadata))


def test_an_answer_may_be_careless() -> None:
    assert parse_answer(b'{"choices": [], "logprob": -Infinity}', "p")["choices"] == []


def test_a_limit_has_two_names() -> None:
    assert max_tokens_of({"max_completion_tokens": 5, "max_tokens": 3}) == 5
    # A server that knows the older name alone writes nine.
    assert max_tokens_of({"max_completion_tokens": 5, "max_tokens": 9}) == 9
    assert max_tokens_of({"max_completion_tokens": 0, "max_tokens": 9}) == 9
    nine: list[JsonValue] = [9, 9.0, "9", " 9.0 "]
    for each in nine:
        assert max_tokens_of({"max_tokens": each}) == 9
    nonsense: list[JsonValue] = ["nine", "nan", "1e999", True, 0, -1, 9.5, [9], float("inf")]
    for none in nonsense:
        assert max_tokens_of({"max_tokens": none}) is None


def test_usage_shapes() -> None:
    full: dict[str, Any] = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 6, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert usage_of(full) == TokenUsage(10, 4, 14, 6, 3)
    assert usage_of({"prompt_tokens": 1, "completion_tokens": 2}) == TokenUsage(1, 2, 3)
    details: JsonObject = {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "prompt_tokens_details": None,
    }
    assert usage_of(details) == TokenUsage(1, 2, 3)
    parts: JsonObject = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": -1,
        "prompt_tokens_details": {"cached_tokens": 99},
        "completion_tokens_details": {"reasoning_tokens": 99},
    }
    assert usage_of(parts) == TokenUsage(3, 2, 5, 3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {"prompt_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 1, "completion_tokens": 2**31},
    ],
    ids=str,
)
def test_no_usage(wrong: JsonValue) -> None:
    assert usage_of(wrong) is None


def test_an_error_is_what_its_code_says() -> None:
    def told(error: Any) -> object:
        return error_in({"error": error}, "p")

    assert isinstance(told({"message": "m", "code": "rate_limit_exceeded"}), UpstreamRateLimited)
    assert isinstance(told({"message": "m", "code": 429}), UpstreamRateLimited)
    assert isinstance(told({"message": "m", "type": "invalid_request_error"}), UpstreamRejected)
    assert isinstance(told({"message": "m", "code": {"odd": 1}}), UpstreamUnavailable)
    assert isinstance(told("plain text"), UpstreamUnavailable)
    assert told(None) is None
    assert error_in({}, "p") is None


def test_a_long_message_is_cut() -> None:
    failure = error_in({"error": {"message": "x" * 10_000}}, "p")
    assert failure is not None
    assert len(failure.detail) < 400


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Unauthenticated("who?"), 401, "authentication_error"),
        (Forbidden("no"), 403, "permission_error"),
        (NotFound("where?"), 404, "invalid_request_error"),
        (UpstreamRateLimited("later"), 429, "rate_limit_error"),
        (UpstreamUnavailable("gone"), 502, "server_error"),
        (InvalidChatRequest("what?", param="model"), 400, "invalid_request_error"),
    ],
    ids=str,
)
def test_errors_have_the_shape_that_the_sdks_parse(error: Any, status: int, kind: str) -> None:
    body = json.loads(error_body(error))["error"]
    assert error_status(error) == status
    assert body == {
        "message": error.detail,
        "type": kind,
        "param": error.context.get("param"),
        "code": error.code,
    }


def test_a_hint_is_told_too() -> None:
    body = json.loads(error_body(NotFound("no x", hint="ask for y")))
    assert body["error"]["message"] == "no x; ask for y"


def test_a_providers_own_complaint_is_passed_on() -> None:
    theirs = b'{"error": {"message": "n must be 1", "vendor": true}}'
    error = UpstreamRejected("p said", status=422, body=theirs, provider="p")
    assert error_body(error) == theirs
    assert error_status(error) == 422
    for other in (b"<html>", b'{"error": "text"}', b"[]"):
        error = UpstreamRejected("p said", status=400, body=other, provider="p")
        assert json.loads(error_body(error))["error"]["code"] == "upstream_rejected"


def test_a_stream_ends_with_an_error_event() -> None:
    event = error_event(UpstreamUnavailable("gone"))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")


def nested(depth: int) -> bytes:
    deep = "[" * depth + "]" * depth
    return f'{{"model": "m", "messages": [{{"x": {deep}}}]}}'.encode()


@pytest.mark.parametrize("depth", [1, 100, 150, 230])
def test_whatever_is_accepted_can_be_passed_on(depth: int) -> None:
    call = asked(nested(depth))
    again = call._replace(body={**call.body, "stream_options": {}}, stream=True)
    for each in (call, again):
        assert json.loads(upstream_body(each, "theirs"))["model"] == "theirs"


@pytest.mark.parametrize("depth", [260, 400, 1000])
def test_what_is_nested_deeper_is_refused(depth: int) -> None:
    call = asked(nested(depth))
    with pytest.raises(InvalidChatRequest, match="nested too deep") as caught:
        upstream_body(call, "theirs")
    assert caught.value.context["param"] == "messages"


def test_a_complaint_too_deep_to_be_written_is_told_by_its_message() -> None:
    deep: JsonValue = []
    for _ in range(300):
        deep = [deep]
    failure = error_in({"error": {"message": "No", "code": 400, "param": deep}}, "p")
    assert isinstance(failure, UpstreamRejected)
    told = json.loads(error_body(failure))["error"]
    assert (told["message"], told["code"]) == ("p failed while answering: No", failure.code)
