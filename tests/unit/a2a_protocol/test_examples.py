from __future__ import annotations

import json

import pytest

from agentcore.a2a_protocol import examples
from agentcore.a2a_protocol.envelope import Call, parse
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.jsonrpc import JsonRpcResponse
from agentcore.kit.jsonvalue import JsonObject

REQUESTS = list(examples.REQUESTS.values())


@pytest.mark.parametrize("request_shown", REQUESTS)
def test_each_example_is_a_request(request_shown: JsonObject) -> None:
    parsed = parse(json.dumps(request_shown["value"]).encode(), A2AConfig.model_validate({}))
    assert all(isinstance(item, Call) for item in parsed.items)


@pytest.mark.parametrize("answer", [examples.SENT, examples.REFUSED])
def test_each_answer_is_one(answer: JsonObject) -> None:
    assert JsonRpcResponse.model_validate(answer).id == 1
