from __future__ import annotations

import json

import pytest

from agentcore.a2a_protocol.envelope import family_of
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.sdk.current import REQUESTS
from agentcore.a2a_protocol.sdk.previous import METHODS, PreviousWire
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue

WIRE = PreviousWire()
TASK: JsonObject = {
    "id": "t",
    "contextId": "c",
    "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-01-01T00:00:00.000Z"},
    "artifacts": [{"artifactId": "a", "parts": [{"raw": "Yg==", "filename": "f"}]}],
}


def read(method: str, **params: JsonValue) -> JsonObject:
    return WIRE.read(method, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def test_each_method_is_one_of_1_0() -> None:
    assert {family_of(name).value for name in METHODS} == {"0.3"}
    assert {method.name for method in METHODS.values()} | {"ListTasks"} == REQUESTS.keys()


def test_a_message_of_0_3_is_one_of_1_0() -> None:
    parts: JsonValue = [{"kind": "text", "text": "x"}, {"kind": "data", "data": {"n": 1}}]
    found = read(
        "message/send",
        message={"kind": "message", "messageId": "m", "role": "user", "parts": parts},
        configuration={"blocking": False},
        tenant="second",
    )
    assert found == {
        "message": {
            "messageId": "m",
            "role": "ROLE_USER",
            "parts": [{"text": "x"}, {"data": {"n": 1}}],
        },
        "configuration": {"returnImmediately": True},
        "tenant": "second",
    }


def test_a_push_configuration_may_be_asked_for_by_its_task_alone() -> None:
    assert read("tasks/pushNotificationConfig/get", id="t") == {"taskId": "t", "id": "t"}


@pytest.mark.parametrize("message", [None, 5, {}, {"messageId": "m", "role": "user", "parts": 1}])
def test_wrong_messages_are_refused(message: JsonValue) -> None:
    with pytest.raises(InvalidParams, match=r"params\.message"):
        read("message/send", message=message)


def test_results() -> None:
    both: list[tuple[str, JsonObject]] = [("GetTask", TASK), ("SendMessage", {"task": TASK})]
    for method, result in both:
        task = WIRE.write(method, result)
        assert isinstance(task, dict)
        assert (task["kind"], task["status"]) == (
            "task",
            {"state": "completed", "timestamp": "2026-01-01T00:00:00Z"},
        )
    said: JsonObject = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "x"}]}
    message = WIRE.write("SendMessage", {"message": said})
    assert isinstance(message, dict)
    assert (message["kind"], message["role"]) == ("message", "agent")
    assert WIRE.write("DeleteTaskPushNotificationConfig", None) is None
    configs = WIRE.write("ListTaskPushNotificationConfigs", {"configs": [
        {"taskId": "t", "id": "p", "url": "https://x", "token": "s"},
    ]})  # fmt: skip
    assert configs == [
        {"taskId": "t", "pushNotificationConfig": {"id": "p", "token": "s", "url": "https://x"}}
    ]


@pytest.mark.parametrize(
    ("state", "final"),
    [("WORKING", False), ("COMPLETED", True), ("INPUT_REQUIRED", True), ("FAILED", True)],
)
def test_the_last_event_of_a_turn_says_so(state: str, final: bool) -> None:
    update = {"taskId": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}}
    answer = json.loads(WIRE.event(b"7", jsonvalue.dumps({"statusUpdate": update})))
    assert (answer["id"], answer["result"]["kind"]) == (7, "status-update")
    assert answer["result"]["final"] is final
