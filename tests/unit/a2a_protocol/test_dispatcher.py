from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field

from agentcore.a2a_protocol.dispatcher import (
    SESSION_METHODS,
    Answer,
    CallContext,
    Caller,
    Dispatcher,
    MethodRegistry,
    check_version,
    split_context,
)
from agentcore.a2a_protocol.envelope import Call, family_of, result_response
from agentcore.a2a_protocol.errors import InvalidParams, VersionNotSupported
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.errors import Conflict
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import at, principal
from tests.fakes.clock import ManualClock

CALLER = Caller(principal=principal(), request_id="req-1", trace_id="trace-1")


class AddParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int
    b: int = Field(0, alias="bee")
    target_agent: str | None = None


class ProtocolFake:
    """Stands for the SDK: answers each call with its own name."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def answer(self, call: Call, caller: Caller) -> Answer:
        self.calls.append(call)
        return Answer(body=result_response(call.id, call.method))


class Peer:
    """A dispatcher and what its methods were called with."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.methods = MethodRegistry()
        self.protocol = ProtocolFake()
        self.contexts: list[CallContext] = []
        self.metrics = registry
        self.methods.add("math.add", AddParams, self.add, scope="a2a")
        self.methods.add("math.break", AddParams, self._break, scope="a2a")
        self.methods.add("math.refuse", AddParams, self._refuse, scope="a2a")
        self.methods.add("math.admin", AddParams, self.add, scope="env:control")
        self.dispatcher = Dispatcher(
            self.methods,
            self.protocol,
            config=A2AConfig.model_validate({}),
            metrics=A2AMetrics(registry),
            clock=ManualClock(),
        )

    async def add(self, params: AddParams, context: CallContext) -> JsonValue:
        self.contexts.append(context)
        return {"sum": params.a + params.b, "target": params.target_agent}

    async def _break(self, params: AddParams, context: CallContext) -> JsonValue:
        raise ZeroDivisionError("SELECT password FROM users")

    async def _refuse(self, params: AddParams, context: CallContext) -> JsonValue:
        raise Conflict("not twice", hint="once")

    async def ask(self, method: str, caller: Caller = CALLER, **params: JsonValue) -> JsonObject:
        answer = await self.raw(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, caller
        )
        assert isinstance(answer, dict)
        return answer

    async def raw(self, document: JsonValue, caller: Caller = CALLER) -> JsonValue:
        answer = await self.dispatcher.answer(json.dumps(document).encode(), caller)
        parsed: JsonValue = None if answer.body is None else json.loads(answer.body)
        return parsed

    def counted(self, family: str, code: str) -> float:
        labels = {"family": family, "code": code}
        return self.metrics.get_sample_value("a2a_requests_total", labels) or 0.0


@pytest.fixture
def peer(registry: CollectorRegistry) -> Peer:
    return Peer(registry)


async def test_a_typed_method(peer: Peer) -> None:
    answer = await peer.ask("math.add", a=1, bee=2)
    assert answer == {"jsonrpc": "2.0", "id": 1, "result": {"sum": 3, "target": None}}
    assert peer.counted("agentcore", "ok") == 1


async def test_wrong_params_are_named(peer: Peer) -> None:
    answer = await peer.ask("math.add", a="x", c=1)
    assert at(answer, "error", "code") == -32602
    assert str(at(answer, "error", "message")).startswith("a: ")
    assert at(answer, "error", "data", "problems", 0, "at") == "a"
    assert at(answer, "error", "data", "problems", 1, "at") == "c"
    assert peer.counted("agentcore", "-32602") == 1


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("math.none", -32601),
        ("rpc.discover", -32601),
        ("nonsense", -32601),
        ("math.refuse", -32050),
        ("math.admin", -32052),
    ],
)
async def test_refusals(peer: Peer, method: str, code: int) -> None:
    answer = await peer.ask(method, a=1)
    assert at(answer, "error", "code") == code


async def test_an_unexpected_fault_shows_nothing_of_itself(peer: Peer) -> None:
    answer = await peer.ask("math.break", a=1)
    assert "password" not in json.dumps(answer)
    assert at(answer, "error", "code") == -32603
    assert "req-1" in json.dumps(answer)


async def test_the_context_does_not_reach_the_method_unless_declared(peer: Peer) -> None:
    await peer.ask(
        "math.add",
        a=1,
        trace_id="t",
        source_agent="s",
        target_agent="x",
        timestamp=5,
        a2a_context={"session_id": "e", "source_agent": "nested"},
    )
    (context,) = peer.contexts
    assert context == CallContext(
        principal=CALLER.principal,
        request_id="req-1",
        trace_id="t",
        source_agent="s",
        target_agent="x",
        session_id="e",
        timestamp="5",
    )


async def test_a_declared_member_may_come_from_the_nested_context(peer: Peer) -> None:
    answer = await peer.ask("math.add", a=1, a2a_context={"target_agent": "x"})
    assert answer["result"] == {"sum": 1, "target": "x"}


async def test_the_request_says_the_trace_when_nobody_else_does(peer: Peer) -> None:
    await peer.ask("math.add", a=1)
    assert peer.contexts[0].trace_id == "trace-1"


@pytest.mark.parametrize(
    "params",
    [{"trace_id": 5}, {"session_id": ["x"]}, {"timestamp": True}, {"a2a_context": "x"}],
)
def test_a_context_of_wrong_types(params: JsonObject) -> None:
    with pytest.raises(InvalidParams):
        split_context(params, CALLER, ())


class Session:
    def __init__(self) -> None:
        self.calls: list[tuple[str, JsonObject, str | None]] = []

    async def act(self, method: str, params: JsonObject, context: CallContext) -> JsonObject:
        self.calls.append((method, params, context.session_id))
        return {"acted": True}


async def test_calls_that_name_a_session_go_to_it(peer: Peer) -> None:
    session = Session()
    peer.methods.set_session_handler(session.act)
    answer = await peer.ask("task.execute", session_id="e1", action="route", trace_id="t")
    assert answer["result"] == {"acted": True}
    assert session.calls == [("task.execute", {"action": "route"}, "e1")]
    outside = await peer.ask("task.execute", action="route")
    assert at(outside, "error", "code") == -32059
    assert peer.methods.names() == sorted(
        {"math.add", "math.admin", "math.break", "math.refuse"} | SESSION_METHODS
    )


async def test_a_session_leaves_other_methods_alone(peer: Peer) -> None:
    session = Session()
    peer.methods.set_session_handler(session.act, methods={"task.execute"})
    assert "result" in await peer.ask("math.add", a=1, session_id="e1")
    assert session.calls == []


@pytest.mark.parametrize("name", ["nodot", "math.add"])
def test_a_method_is_registered_once_and_with_a_dot(peer: Peer, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        peer.methods.add(name, AddParams, peer.add, scope="a2a")


async def test_methods_of_the_protocol_go_to_the_sdk(peer: Peer) -> None:
    new = Caller(principal=principal(), version="1.0.7")
    assert (await peer.ask("GetTask", new, id="x"))["result"] == "GetTask"
    assert (await peer.ask("tasks/get", CALLER, id="x"))["result"] == "tasks/get"
    assert peer.counted("1.0", "ok") == peer.counted("0.3", "ok") == 1


async def test_methods_of_the_protocol_need_the_scope(peer: Peer) -> None:
    other = Caller(principal=principal(scopes=("llm",)))
    answer = await peer.ask("tasks/get", other, id="x")
    assert (at(answer, "error", "code"), peer.protocol.calls) == (-32052, [])


def protocol_call(method: str) -> Call:
    return Call(
        method=method, family=family_of(method), params={}, id=1, notification=False, body={}
    )


@pytest.mark.parametrize(
    ("method", "version"),
    [("GetTask", "1.0"), ("GetTask", " 1.0.1 "), ("tasks/get", ""), ("tasks/get", "0.3")],
)
def test_versions_that_fit(method: str, version: str) -> None:
    check_version(protocol_call(method), version)


@pytest.mark.parametrize(
    ("method", "version"),
    [
        ("GetTask", ""),
        ("GetTask", "0.3"),
        ("GetTask", "1.9"),
        ("GetTask", "1"),
        ("GetTask", "latest"),
        ("tasks/get", "1.0"),
    ],
)
def test_versions_that_do_not(method: str, version: str) -> None:
    with pytest.raises(VersionNotSupported):
        check_version(protocol_call(method), version)


@pytest.mark.parametrize("version", ["", "0.3", "1.0", "1.9"])
@pytest.mark.parametrize("method", ["Fly", "message/fly"])
async def test_a_method_of_no_version_is_unknown_in_each(
    peer: Peer, method: str, version: str
) -> None:
    document: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": method}
    answer = await peer.raw(document, Caller(principal=principal(), version=version))
    assert at(answer, "error", "code") == -32601
    assert peer.protocol.calls == []


async def test_a_notification_is_carried_out_and_not_answered(peer: Peer) -> None:
    document: JsonObject = {"jsonrpc": "2.0", "method": "math.add", "params": {"a": 1}}
    assert await peer.raw(document) is None
    assert len(peer.contexts) == 1
    assert await peer.raw({**document, "method": "math.none"}) is None
    assert await peer.raw({**document, "params": [1]}) is None


async def test_a_streaming_notification_streams_to_nobody(peer: Peer) -> None:
    new = Caller(principal=principal(), version="1.0")
    assert await peer.raw({"jsonrpc": "2.0", "method": "SubscribeToTask"}, new) is None
    assert peer.protocol.calls == []


async def test_a_batch_is_answered_in_order_without_its_notifications(peer: Peer) -> None:
    add: JsonObject = {"jsonrpc": "2.0", "id": "a", "method": "math.add", "params": {"a": 1}}
    silent: JsonObject = {"jsonrpc": "2.0", "method": "math.add", "params": {"a": 1}}
    answers = await peer.raw([add, silent, 5, {**add, "id": 2, "method": "math.none"}])
    assert isinstance(answers, list)
    assert [at(answer, "id") for answer in answers] == ["a", None, 2]
    assert await peer.raw([silent, silent]) is None
