from __future__ import annotations

import pytest

from agentcore.a2a_protocol.sdk.current_peer import CurrentPeerWire
from agentcore.kit.jsonvalue import JsonObject, JsonValue

WIRE = CurrentPeerWire()
TASK: JsonObject = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}


def test_requests_are_as_they_are() -> None:
    assert WIRE.version == "1.0"
    assert WIRE.request("GetTask", {"id": "t"}) == ("GetTask", {"id": "t"})


def test_results_become_one_form() -> None:
    assert WIRE.result("GetTask", {**TASK, "unknown": 1}) == {"task": TASK}
    assert WIRE.result("SendMessage", {"task": TASK}) == {"task": TASK}


@pytest.mark.parametrize("result", [None, [], {}, "x", {"task": 1}, {"what": {}}])
def test_what_is_no_result(result: JsonValue) -> None:
    with pytest.raises(ValueError, match=r".+"):
        WIRE.result("SendMessage", result)
