from __future__ import annotations

import pytest

from agentcore.a2a_protocol.envelope import Call, family_of
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.preflight import LONGEST_NAME, check_params
from agentcore.kit.jsonvalue import JsonObject, JsonValue


def call(method: str, params: JsonObject) -> Call:
    return Call(
        method=method,
        family=family_of(method),
        params=params,
        id=1,
        notification=False,
        body={"method": method, "params": params},
    )


def message(*parts: JsonValue, **members: JsonValue) -> JsonObject:
    return {"messageId": "m", "role": "ROLE_USER", "parts": list(parts), **members}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ListTasks", {"status": "DONE"}),
        ("ListTasks", {"pageToken": "x" * (LONGEST_NAME + 1)}),
        ("GetTask", {"id": "x" * (LONGEST_NAME + 1)}),
        ("SendMessage", {"message": message({})}),
        ("SendMessage", {"message": message({"text": "a"}, {"metadata": {}})}),
        ("SendMessage", {"message": message({"text": "a", "url": "http://x"})}),
        ("SendStreamingMessage", {"message": message({"kind": "text"})}),
        ("SendMessage", {"message": message(contextId="x" * (LONGEST_NAME + 1))}),
        ("message/send", {"message": message(contextId="x" * (LONGEST_NAME + 1))}),
        ("SendMessage", {"message": message({"text": "a"}, role=7)}),
        ("SendMessage", {"message": message({"text": "a"}, role="king")}),
        ("message/send", {"message": message({"text": "a"})}),
        ("message/stream", {"message": message({"kind": "text", "text": "a"}, {"kind": "song"})}),
    ],
)
def test_params_that_the_sdk_would_take(method: str, params: JsonObject) -> None:
    with pytest.raises(InvalidParams):
        check_params(call(method, params))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ListTasks", {"status": "TASK_STATE_WORKING"}),
        ("ListTasks", {"status": 2}),
        ("SendMessage", {}),
        ("SendMessage", {"message": 5}),
        ("SendMessage", {"message": message()}),
        ("SendMessage", {"message": message({"text": ""}, {"data": None}, {"raw": ""})}),
        ("SendMessage", {"message": message({"text": "a"}, contextId="x" * 300)}),
        ("message/send", {"message": message({"kind": "text", "text": "a"})}),
    ],
)
def test_params_for_the_sdk_to_judge(method: str, params: JsonObject) -> None:
    check_params(call(method, params))
