from __future__ import annotations

import json

import pytest

from agentcore.a2a_protocol.envelope import family_of
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.sdk.current import REQUESTS, CurrentWire
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue

MESSAGE: JsonObject = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}


def read(method: str, **params: JsonValue) -> JsonObject:
    return CurrentWire().read(method, {"params": params})


def test_names_have_the_shape_of_the_version() -> None:
    assert {family_of(name).value for name in REQUESTS} == {"1.0"}
    assert CurrentWire().method("tasks/get") is None


def test_parameters_come_as_the_specification_spells_them() -> None:
    found = read(
        "SendMessage",
        message={**MESSAGE, "context_id": "c", "unknown": 1},
        configuration={"return_immediately": True},
        metadata={"n": 3},
    )
    assert found == {
        "message": {**MESSAGE, "contextId": "c"},
        "configuration": {"returnImmediately": True},
        "metadata": {"n": 3},
    }


@pytest.mark.parametrize(
    "message",
    [
        {},
        5,
        {**MESSAGE, "parts": []},
        {**MESSAGE, "parts": "x"},
        {**MESSAGE, "messageId": ""},
        {**MESSAGE, "messageId": 7},
        {**MESSAGE, "role": 99999999999},
        {**MESSAGE, "parts": [{"raw": "not base64!"}]},
        {**MESSAGE, "parts": [{"text": "a", "url": "b"}]},
    ],
)
def test_wrong_messages_are_refused(message: JsonValue) -> None:
    with pytest.raises(InvalidParams) as caught:
        read("SendMessage", message=message)
    assert caught.value.detail.startswith("SendMessage: ")


def test_an_event_goes_out_as_it_is_kept() -> None:
    body = b'{"task":{"id":"t"}}'
    for call_id in ('a"b', 7, None):
        answer = json.loads(CurrentWire().event(jsonvalue.dumps(call_id), body))
        assert answer == {"jsonrpc": "2.0", "id": call_id, "result": {"task": {"id": "t"}}}
    assert CurrentWire().write("GetTask", {"id": "t"}) == {"id": "t"}
