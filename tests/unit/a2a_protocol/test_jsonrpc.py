from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from agentcore.a2a_protocol.models.jsonrpc import JsonRpcError, JsonRpcRequest, JsonRpcResponse


def test_a_request_as_the_specification_writes_it() -> None:
    request = JsonRpcRequest(
        method="task.execute", params={"task_id": "123", "action": "route_ticket"}
    )
    assert request.id is None
    assert request.model_dump() == {
        "jsonrpc": "2.0",
        "method": "task.execute",
        "params": {"task_id": "123", "action": "route_ticket"},
    }


def test_a_request_keeps_the_type_of_its_id() -> None:
    assert JsonRpcRequest(method="m", id="7").id == "7"
    assert JsonRpcRequest(method="m", id=7).model_dump()["id"] == 7


def test_another_version_is_refused() -> None:
    with pytest.raises(ValidationError):
        JsonRpcRequest.model_validate({"jsonrpc": "1.0", "method": "m"})


def test_a_response_has_a_result_or_an_error_and_not_both() -> None:
    done = json.loads(JsonRpcResponse(id=1, result={"x": None}).model_dump_json())
    assert done == {"jsonrpc": "2.0", "id": 1, "result": {"x": None}}
    nothing = json.loads(JsonRpcResponse(id=1).model_dump_json())
    assert nothing == {"jsonrpc": "2.0", "id": 1, "result": None}
    error = JsonRpcError(code=-32601, message="no such method")
    failed = json.loads(JsonRpcResponse(id=None, error=error).model_dump_json())
    assert failed == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32601, "message": "no such method"},
    }
    told = JsonRpcError(code=-1, message="m", data={"why": 1})
    assert JsonRpcResponse(id=1, error=told).model_dump()["error"]["data"] == {"why": 1}
