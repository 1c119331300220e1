"""Methods of AgentCore's own that answer with events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from agentcore.a2a_protocol.dispatcher import (
    CallContext,
    Caller,
    Dispatcher,
    MethodRegistry,
)
from agentcore.a2a_protocol.errors import InvalidRequest
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.errors import NotFound
from agentcore.kit.jsonvalue import JsonValue
from agentcore.kit.server_events import EventResponse, ServerEvent
from tests.fakes.a2a import principal
from tests.fakes.asgi_call import Call
from tests.fakes.clock import ManualClock
from tests.unit.a2a_protocol.test_dispatcher import ProtocolFake

CALLER = Caller(principal=principal(), traceparent="00-1-2-01")


class CountParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: int


class Counting:
    def __init__(self, to: int) -> None:
        self.to = to

    async def __aiter__(self) -> AsyncGenerator[ServerEvent]:
        for number in range(1, self.to + 1):
            yield ServerEvent(str(number).encode(), f"n-{number}")

    def result(self) -> JsonValue:
        return {"counted": self.to}


async def count(params: CountParams, context: CallContext) -> Counting:
    assert context.traceparent == CALLER.traceparent
    if params.to < 0:
        raise NotFound("no such number")
    return Counting(params.to)


@pytest.fixture
def methods() -> MethodRegistry:
    methods = MethodRegistry()
    methods.add_stream("math.count", CountParams, count, scope="a2a")
    methods.add_stream("math.secret", CountParams, count, scope="env:control")
    return methods


@pytest.fixture
def dispatcher(methods: MethodRegistry, registry: CollectorRegistry) -> Dispatcher:
    return Dispatcher(
        methods,
        ProtocolFake(),
        config=A2AConfig.model_validate({}),
        metrics=A2AMetrics(registry),
        clock=ManualClock(),
    )


def call(method: str = "math.count", **params: JsonValue) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


async def test_events_and_then_the_answer(dispatcher: Dispatcher) -> None:
    answer = await dispatcher.answer(json.dumps(call(to=2)).encode(), CALLER)
    assert isinstance(answer.stream, EventResponse)
    text = (await Call(answer.stream).run()).body.decode()
    assert text.split("\n\n") == [
        "retry: 1000",
        "id: n-1\ndata: 1",
        "id: n-2\ndata: 2",
        'data: {"jsonrpc":"2.0","id":7,"result":{"counted":2}}',
        "",
    ]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (call(to=-1), -32053),
        (call(to="x"), -32602),
        (call("math.secret", to=1), -32052),
    ],
)
async def test_a_refusal_is_no_stream(
    asked: dict[str, object], code: int, dispatcher: Dispatcher
) -> None:
    answer = await dispatcher.answer(json.dumps(asked).encode(), CALLER)
    assert answer.stream is None
    assert json.loads(answer.body or b"")["error"]["code"] == code


async def test_a_batch_holds_no_stream(dispatcher: Dispatcher) -> None:
    silent = {key: value for key, value in call(to=1).items() if key != "id"}
    raw = json.dumps([call(to=1), silent]).encode()
    (refused,) = json.loads((await dispatcher.answer(raw, CALLER)).body or b"")
    assert (refused["id"], refused["error"]["code"]) == (7, InvalidRequest.rpc_code)


async def test_a_notification_streams_to_nobody(dispatcher: Dispatcher) -> None:
    silent = {key: value for key, value in call(to=1).items() if key != "id"}
    answer = await dispatcher.answer(json.dumps(silent).encode(), CALLER)
    assert (answer.body, answer.stream) == (None, None)


async def test_who_wants_one_value_gets_none(methods: MethodRegistry) -> None:
    with pytest.raises(InvalidRequest, match="streams"):
        await methods.call("math.count", {"to": 1}, CALLER)


def test_names_are_taken_once(methods: MethodRegistry) -> None:
    assert methods.names() == ["math.count", "math.secret"]
    with pytest.raises(ValueError, match="registered already"):
        methods.add_stream("math.count", CountParams, count, scope="a2a")
