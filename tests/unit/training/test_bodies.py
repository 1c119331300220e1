from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from agentcore.kit.errors import MalformedRequest, RequestTooLarge
from agentcore.training.openenv.serving.bodies import LARGEST_BODY, json_body, json_response
from agentcore.training.openenv.serving.hosting import InvalidRequest


def request(*parts: bytes, cut: bool = False) -> Request:
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    end: Message = {"type": "http.disconnect"} if cut else {"type": "http.request", "body": b""}
    messages.append(end)

    async def receive() -> Message:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


@pytest.mark.parametrize(("parts", "body"), [((), {}), ((b'{"a"', b":1}"), {"a": 1})])
async def test_a_body_is_an_object_or_nothing(parts: tuple[bytes, ...], body: Any) -> None:
    assert await json_body(request(*parts)) == body


@pytest.mark.parametrize("content", [b"[1]", b"{", b"7", b"\xff", b'{"a":NaN}'])
async def test_what_is_none_is_named(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await json_body(request(content))
    assert caught.value.errors[0]["type"] in {"json_invalid", "model_attributes_type"}


async def test_a_body_has_an_end() -> None:
    with pytest.raises(MalformedRequest):
        await json_body(request(b"{", cut=True))
    with pytest.raises(RequestTooLarge):
        await json_body(request(b" " * LARGEST_BODY, b" "))


def test_answers_are_json() -> None:
    answer = json_response({"a": None}, status=201)
    assert (answer.status_code, answer.body) == (201, b'{"a":null}')
