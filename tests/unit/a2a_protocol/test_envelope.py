from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.envelope import (
    LONGEST_ID,
    Call,
    Family,
    Refusal,
    error_response,
    family_of,
    parse,
    result_response,
)
from agentcore.a2a_protocol.errors import TaskNotFound, VersionNotSupported
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.errors import Unavailable
from agentcore.kit.jsonvalue import JsonObject, JsonValue

LIMITS = A2AConfig.model_validate({"max_batch": 3, "max_depth": 8})


def request(**members: JsonValue) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "a.b", **members}).encode()


def one(raw: bytes) -> Call | Refusal:
    parsed = parse(raw, LIMITS)
    assert not parsed.batch
    (item,) = parsed.items
    return item


REFUSED: list[tuple[str, bytes, int, JsonValue]] = [
    ("nothing", b"", -32700, None),
    ("not JSON", b"{nope", -32700, None),
    ("truncated", request()[:-2], -32700, None),
    ("two documents", request() + request(), -32700, None),
    ("NaN", b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":{"x":NaN}}', -32700, None),
    ("Infinity", b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":{"x":Infinity}}', -32700, None),
    ("bad UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700, None),
    ("UTF-16", request().decode().encode("utf-16"), -32700, None),
    ("a byte order mark", b"\xef\xbb\xbf" + request(), -32700, None),
    ("very deep", b"[" * 100_000, -32700, None),
    ("deeper than allowed", request(params={"x": [[[[[[[[1]]]]]]]]}), -32600, None),
    ("a number", b"7", -32600, None),
    ("a string", b'"x"', -32600, None),
    ("null", b"null", -32600, None),
    ("no version", b'{"id":1,"method":"a.b"}', -32600, 1),
    ("another version", request(jsonrpc="1.0"), -32600, 1),
    ("version as a number", request(jsonrpc=2.0), -32600, 1),
    ("no method", b'{"jsonrpc":"2.0","id":1}', -32600, 1),
    ("method of another type", request(method=5), -32600, 1),
    ("empty method", request(method=""), -32600, 1),
    ("id true", request(id=True), -32600, None),
    ("id object", request(id={}), -32600, None),
    ("id fraction", request(id=1.5), -32600, None),
    ("id beyond 64 bits", request(id=10**30), -32600, None),
    ("huge id", request(id="x" * (LONGEST_ID + 1)), -32600, None),
    ("params a string", request(params="x"), -32600, 1),
    ("params by position", request(params=[1]), -32602, 1),
    ("a null character", request(params={"x": ["a\0b"]}), -32602, 1),
    ("a null character in a name", request(params={"a\0": 1}), -32602, 1),
    ("half a surrogate", b'{"jsonrpc":"2.0","id":"s","method":"a.b","params":{"x":"\\ud800"}}',
     -32602, "s"),
    ("half a surrogate for an id", b'{"jsonrpc":"2.0","id":"\\ud800","method":"a.b"}',
     -32602, None),
    ("half a surrogate and a huge id", b'{"jsonrpc":"2.0","id":%d,"method":"\\ud800"}' % 10**30,
     -32602, None),
    ("half a surrogate and more", b'{"jsonrpc":"2.0","id":1,"x":"\\ud800", nope}', -32700, None),
    ("an empty batch", b"[]", -32600, None),
    ("a long batch", b"[1,2,3,4]", -32600, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "code", "answered_to"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_refusals(raw: bytes, code: int, answered_to: JsonValue) -> None:
    refusal = one(raw)
    assert isinstance(refusal, Refusal)
    assert (refusal.error.rpc_code, refusal.id) == (code, answered_to)
    assert error_response(refusal.id, refusal.error)


@pytest.mark.parametrize("call_id", [0, -5, "", "7", "ünï", 2**53 + 1, None])
def test_ids_are_kept_as_they_are(call_id: JsonValue) -> None:
    call = one(request(id=call_id))
    assert isinstance(call, Call)
    assert (call.id, call.notification) == (call_id, False)


def test_a_call_without_an_id_is_a_notification() -> None:
    call = one(b'{"jsonrpc":"2.0","method":"a.b"}')
    assert isinstance(call, Call)
    assert call.notification


def test_methods_of_0_3_are_answered_even_without_an_id() -> None:
    raw = b'{"jsonrpc":"2.0","method":"tasks/get"}'
    alone, (batched,) = one(raw), parse(b"[" + raw + b"]", LIMITS).items
    assert isinstance(alone, Call)
    assert isinstance(batched, Call)
    assert (alone.notification, batched.notification) == (False, True)


@pytest.mark.parametrize("params", [b"", b',"params":null', b',"params":{}'])
def test_absent_params_are_empty(params: bytes) -> None:
    call = one(b'{"jsonrpc":"2.0","id":1,"method":"SendMessage"' + params + b"}")
    assert isinstance(call, Call)
    assert (call.params, call.body["params"]) == ({}, {})


def test_an_escaped_backslash_before_u0000_is_no_null_character() -> None:
    call = one(request(params={"x": "\\u0000"}))
    assert isinstance(call, Call)


def test_a_batch_keeps_what_is_right_in_it() -> None:
    streamed = request(method="SendStreamingMessage", id=2)
    by_position = b'{"jsonrpc":"2.0","method":"a.b","params":[1]}'
    parsed = parse(b"[" + b",".join([request(), streamed, by_position]) + b"]", LIMITS)
    call, refused, silent = parsed.items
    assert parsed.batch
    assert isinstance(call, Call)
    assert isinstance(refused, Refusal)
    assert (refused.error.rpc_code, refused.id, refused.silent) == (-32600, 2, False)
    assert isinstance(silent, Refusal)
    assert silent.silent


@pytest.mark.parametrize(
    ("method", "family"),
    [
        ("SendMessage", Family.V1_0),
        ("message/send", Family.V0_3),
        ("tasks/pushNotificationConfig/set", Family.V0_3),
        ("agent.register", Family.AGENTCORE),
        ("rpc.discover", Family.AGENTCORE),
        ("sendMessage", Family.NONE),
        ("Send Message", Family.NONE),
        ("é", Family.NONE),
    ],
)
def test_families_by_shape(method: str, family: Family) -> None:
    assert family_of(method) is family


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    assert parse(raw, LIMITS).items


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.sampled_from(["jsonrpc", "id", "method", "params", "x"])


@given(st.dictionaries(MEMBERS, JSON_VALUES | st.just("2.0"), max_size=5))
def test_any_object_is_parsed_or_refused(document: JsonObject) -> None:
    (item,) = parse(json.dumps(document).encode(), LIMITS).items
    if isinstance(item, Call):
        assert item.body["jsonrpc"] == "2.0"


def test_errors_of_the_protocol_carry_its_details() -> None:
    body = json.loads(error_response(7, VersionNotSupported("no", hint="send 1.0")))
    assert body["id"] == 7
    assert body["error"]["code"] == -32009
    (info,) = body["error"]["data"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "VERSION_NOT_SUPPORTED",
        "domain": "a2a-protocol.org",
        "metadata": {"hint": "send 1.0"},
    }
    assert json.loads(error_response(1, TaskNotFound("x")))["error"]["data"][0]["metadata"] == {}


def test_errors_of_ours_say_whether_to_repeat() -> None:
    error = json.loads(error_response("a", Unavailable("away", retry_after=3)))["error"]
    assert error["data"] == {
        "code": "unavailable", "hint": "", "retryable": True, "retry_after": 3,
    }  # fmt: skip


def test_results_may_be_null() -> None:
    assert json.loads(result_response(None, None)) == {"jsonrpc": "2.0", "id": None, "result": None}
