from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.kit.errors import AgentCoreError, NotFound, RequestTooLarge
from agentcore.llm_gateway.dialects.messages import MESSAGES, MessagesTranslation
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    NoEligibleProvider,
    UnknownModel,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.fakes.anthropic_speech import fault

BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hello"}],
}


def parsed(**members: Any) -> dict[str, Any]:
    return MESSAGES.parse(orjson.dumps({**BODY, **members}))


def test_a_document() -> None:
    more = {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "system", "content": "b"},
            {"role": "assistant", "content": "c"},
        ],
        "unheard_of": 1,
    }
    body = parsed(**more)
    assert body == {**BODY, **more}
    assert MESSAGES.max_tokens(body) == 9
    assert MESSAGES.wants_usage(body)
    assert MESSAGES.dialect == "messages"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": ["Hello"]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        ({"messages": [*BODY["messages"], {"role": "user"}]}, "messages.1.content"),
        ({"system": {"text": "x"}}, "system"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_cannot_be_routed(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        parsed(**members)
    assert caught.value.context["param"] == param
    assert f"'{param}'" in caught.value.detail


@pytest.mark.parametrize("raw", [b"", b"{", b"[]"])
def test_what_is_no_document(raw: bytes) -> None:
    with pytest.raises(InvalidChatRequest):
        MESSAGES.parse(raw)


def told(error: AgentCoreError) -> dict[str, Any]:
    document = orjson.loads(MESSAGES.error_body(error))
    assert document["type"] == "error"
    inner: dict[str, Any] = document["error"]
    return inner


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (InvalidChatRequest("no", param="x"), "invalid_request_error", "invalid_chat_request"),
        (UnknownModel("no"), "not_found_error", "model_not_found"),
        (NotFound("no"), "not_found_error", "not_found"),
        (RequestTooLarge("no"), "request_too_large", "request_too_large"),
        (UpstreamRateLimited("no"), "rate_limit_error", "upstream_rate_limited"),
        (UpstreamUnavailable("no"), "api_error", "upstream_unavailable"),
        (UpstreamTimeout("no"), "timeout_error", "upstream_timeout"),
        (NoEligibleProvider("no"), "overloaded_error", "no_eligible_provider"),
    ],
)
def test_errors(error: AgentCoreError, kind: str, code: str) -> None:
    assert told(error) == {"type": kind, "message": "no", "details": {"error_code": code}}


def test_an_error_says_what_to_do() -> None:
    assert told(UnknownModel("no", hint="try m"))["message"] == "no; try m"


def rejected(body: bytes, status: int = 400) -> UpstreamRejected:
    return UpstreamRejected("p answered 400: no", status=status, body=body, provider="p")


def test_anthropics_own_words_are_passed_on() -> None:
    body = orjson.dumps(fault("theirs", "max_tokens: too many"))
    assert MESSAGES.error_body(rejected(body)) is body


@pytest.mark.parametrize("body", [b"<html>", b'{"error": {"message": "no", "type": "x"}}'])
def test_others_words_are_put_in_anthropics_form(body: bytes) -> None:
    assert told(rejected(body))["message"] == "p answered 400: no"
    assert told(rejected(body, 413))["type"] == "request_too_large"


def test_a_stream_ends_with_an_event() -> None:
    event = MESSAGES.error_event(UpstreamUnavailable("no"))
    name, data, *rest = event.split(b"\n")
    assert (name, rest) == (b"event: error", [b"", b""])
    assert orjson.loads(data.removeprefix(b"data: "))["error"]["type"] == "api_error"


def test_a_rejection_of_a_chat_completion_is_told_as_one_of_a_message() -> None:
    translation = MessagesTranslation("p")
    raw = b'{"error": {"message": "bad temperature", "type": "x", "param": "temperature"}}'
    error = {"type": "invalid_request_error", "message": "bad temperature"}
    assert orjson.loads(translation.rejection(raw)) == {"type": "error", "error": error}
    assert b"refuses" in translation.rejection(b"<html>")


def test_what_cannot_be_expressed_names_the_provider() -> None:
    with pytest.raises(InvalidChatRequest, match="p is asked by chat completions") as caught:
        MessagesTranslation("p").to_chat({**BODY, "container": "c"})
    assert caught.value.context == {"param": "container", "provider": "p"}
