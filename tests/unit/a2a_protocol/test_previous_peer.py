from __future__ import annotations

import pytest

from agentcore.a2a_protocol.sdk.previous_peer import PreviousPeerWire
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from tests.fakes.a2a import at

WIRE = PreviousPeerWire()
STATUS: JsonObject = {"state": "working"}
TASK: JsonObject = {"id": "t", "contextId": "c", "status": STATUS, "kind": "task"}


def test_requests() -> None:
    message: JsonObject = {
        "messageId": "m",
        "role": "ROLE_USER",
        "parts": [{"text": "hello"}],
        "metadata": {"urn:x": {"private": True}},
    }
    params: JsonObject = {"message": message, "configuration": {"returnImmediately": True}}
    name, asked = WIRE.request("SendStreamingMessage", params)
    assert (WIRE.version, name) == ("0.3", "message/stream")
    assert at(asked, "message", "parts", 0, "kind") == "text"
    assert at(asked, "message", "metadata") == {"urn:x": {"private": True}}
    assert at(asked, "configuration", "blocking") is False
    assert WIRE.request("CancelTask", {"id": "t"}) == ("tasks/cancel", {"id": "t"})


@pytest.mark.parametrize("kind", [True, False])
def test_results_become_those_of_today(kind: bool) -> None:
    task = TASK if kind else {name: value for name, value in TASK.items() if name != "kind"}
    found = object_of(WIRE.result("GetTask", task)["task"])
    assert at(found, "status", "state") == "TASK_STATE_WORKING"


@pytest.mark.parametrize("result", [None, [], {}, {"kind": "task"}, {"kind": "else"}])
def test_what_is_no_result(result: JsonValue) -> None:
    with pytest.raises(ValueError, match=r".+"):
        WIRE.result("SendMessage", result)
