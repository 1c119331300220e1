"""Raw requests, hostile and odd, and the answer that JSON-RPC 2.0 and A2A ask for."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.envelope import Refusal, parse
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.late import Wire
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.preflight import check_params
from agentcore.a2a_protocol.sdk.current import REQUESTS, CurrentWire
from agentcore.a2a_protocol.sdk.previous import METHODS as OLD_METHODS
from agentcore.a2a_protocol.sdk.previous import PreviousWire
from agentcore.kit import jsonvalue
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import a2a, app_of, at, served

V1 = {"a2a-version": "1.0"}
JSON = "application/json"
NOTHING = 0
"""In place of an error number: no body at all."""
OK = 1
"""In place of an error number: a result."""
MANY = 2
"""In place of an error number: a list of errors of the numbers in ``to``."""


@dataclass(frozen=True)
class Case:
    name: str
    body: bytes
    code: int
    to: JsonValue = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str | None = JSON
    path: str = "/a2a"
    status: int = 200


def request(method: JsonValue, call_id: JsonValue = 1, **params: JsonValue) -> bytes:
    document = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}
    return json.dumps(document).encode()


def notification(method: str, **params: JsonValue) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


def message(*parts: JsonValue, **members: JsonValue) -> JsonObject:
    content = list(parts) or [{"text": "hello"}]
    return {"messageId": "m", "role": "ROLE_USER", "parts": content, **members}


def old_message(**members: JsonValue) -> JsonObject:
    parts: JsonValue = [{"kind": "text", "text": "hello"}]
    return {"kind": "message", "messageId": "m", "role": "user", "parts": parts, **members}


def send(*parts: JsonValue, **members: JsonValue) -> bytes:
    return request("SendMessage", message=message(*parts, **members))


SEND = send()
SEND_0_3 = request("message/send", message=old_message())
PUSH: JsonObject = {"url": "http://169.254.169.254/"}
WEBHOOK: JsonObject = {"taskPushNotificationConfig": PUSH}
LEAKS = ("Traceback", "SELECT", "sqlalchemy", 'File "')
CASES = [
    # The document
    Case("malformed", b"{oops", -32700),
    Case("empty", b"", -32700),
    Case("truncated", SEND[:-3], -32700),
    Case("NaN", b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":{"x":NaN}}', -32700),
    Case("UTF-16", SEND.decode().encode("utf-16"), -32700),
    Case("bad UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xc3\x28"}', -32700),
    Case("gzip", gzip.compress(SEND), -32700, headers={"content-encoding": "gzip"}),
    Case("deep", b"[" * 100_000, -32700),
    Case("deep but closed", b"[" * 500 + b"]" * 500, -32600),
    Case("deep data", request("a.b", data=json.loads("[" * 80 + "]" * 80)), -32600),
    Case("too large", b" " * 250_000, -32600, status=413),
    # The envelope
    Case("array", b"[]", -32600),
    Case("number", b"1", -32600),
    Case("no jsonrpc", b'{"id":1,"method":"a.b"}', -32600, 1),
    Case("jsonrpc 1.0", b'{"jsonrpc":"1.0","id":1,"method":"a.b"}', -32600, 1),
    Case("no method", b'{"jsonrpc":"2.0","id":1}', -32600, 1),
    Case("method number", request(7), -32600, 1),
    Case("id bool", request("a.b", call_id=True), -32600),
    Case("id object", request("a.b", call_id={}), -32600),
    Case("id huge", request("a.b", call_id="x" * 5000), -32600),
    Case("id zero", request("a.b", call_id=0), -32601, 0),
    Case("id empty", request("a.b", call_id=""), -32601, ""),
    Case("id digits", request("a.b", call_id="7"), -32601, "7"),
    Case("params array", b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":[1]}', -32602, 1),
    Case("params string", b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":"x"}', -32600, 1),
    Case("null", b"null", -32600),
    Case("string", b'"a.b"', -32600),
    Case("two documents", SEND + SEND, -32700),
    Case("trailing comma", b'{"jsonrpc":"2.0","id":1,"method":"a.b",}', -32700),
    Case("comment", b'{"jsonrpc":"2.0",/* x */"id":1,"method":"a.b"}', -32700),
    Case("byte order mark", b"\xef\xbb\xbf" + SEND, -32700),
    Case("control character", b'{"jsonrpc":"2.0","id":1,"method":"a\x01b"}', -32700),
    Case("overlong UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xc0\xaf"}', -32700),
    Case("UTF-8 surrogate", b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', -32700),
    Case("nothing but blanks", b" " * 1000, -32700),
    Case("deep objects", b'{"a":' * 20_000 + b"1" + b"}" * 20_000, -32700),
    Case("deep objects closed", b'{"a":' * 200 + b"1" + b"}" * 200, -32600),
    Case("huge number", request("a.b").replace(b'"id": 1', b'"id": 1' + b"0" * 400), -32700),
    Case("id of 64 bits", request("a.b", call_id=2**63), -32601, 2**63),
    Case("id negative", request("a.b", call_id=-5), -32601, -5),
    Case("id fraction", request("a.b", call_id=1.5), -32600),
    Case("id array", request("a.b", call_id=[1]), -32600),
    Case("id null", request("a.b", call_id=None), -32601),
    Case(
        "id with signs",
        request("a.b", call_id='"\\/\n\u00fc\U0001f600'),
        -32601,
        '"\\/\n\u00fc\U0001f600',
    ),
    # Of a member that occurs twice, the last counts, whatever the first was.
    Case(
        "method twice", b'{"jsonrpc":"2.0","id":1,"method":"Fly","method":"agent.discover"}', OK, 1
    ),
    Case("id twice", b'{"jsonrpc":"2.0","id":{},"id":2,"method":"agent.discover"}', OK, 2),
    Case(
        "params twice",
        b'{"jsonrpc":"2.0","id":1,"method":"agent.discover","params":1,"params":{"text":5}}',
        -32602,
        1,
    ),
    Case("params null", b'{"jsonrpc":"2.0","id":1,"method":"agent.discover","params":null}', OK, 1),
    Case("unknown members", b'{"jsonrpc":"2.0","id":1,"method":"agent.discover","x":{}}', OK, 1),
    Case("method null", request(None), -32600, 1),
    Case("method array", request(["GetTask"]), -32600, 1),
    Case("method empty", request(""), -32600, 1),
    Case("method huge", request("a." + "b" * 10_000), -32601, 1),
    Case("method of the runtime", request("rpc.discover"), -32601, 1),
    Case("method in another case", request("sendmessage"), -32601, 1, V1),
    Case("batch of nothings", json.dumps([None] * 3).encode(), MANY, [-32600] * 3),
    Case("batch of batches", b"[[],[[]]]", MANY, [-32600] * 2),
    Case("batch of 1000", json.dumps([{}] * 1000).encode(), -32600),
    # Methods
    Case("unknown", request("Fly"), -32601, 1, V1),
    Case("unknown 0.3", request("message/fly"), -32601, 1),
    Case("unknown dotted", request("agent.fly"), -32601, 1),
    Case("shapeless", request("fly"), -32601, 1),
    # Notifications
    Case("notified", notification("agent.discover"), NOTHING, status=204),
    Case("notified in vain", notification("agent.fly"), NOTHING, status=204),
    Case(
        "notified send",
        notification("SendMessage", message=message()),
        NOTHING,
        None,
        V1,
        status=204,
    ),
    Case("0.3 without id", notification("message/send", message=old_message()), -32602),
    Case("unknown 0.3 without id", notification("message/fly"), -32601),
    # Versions
    Case("1.9", SEND, -32009, 1, headers={"a2a-version": "1.9"}),
    Case("absent is 0.3", SEND, -32009, 1),
    Case("0.3 named", SEND_0_3, OK, 1, headers={"a2a-version": "0.3"}),
    Case("0.3 as 1.0", SEND_0_3, -32009, 1, V1),
    Case("version in the query", SEND, OK, 1, path="/a2a?A2A-Version=1.0"),
    Case("dotted needs none", request("agent.discover"), OK, 1),
    # Media types
    Case("text", SEND, -32005, media_type="text/plain", status=415),
    Case("none", SEND, -32005, media_type=None, status=415),
    Case("with charset", SEND, OK, 1, V1, media_type="Application/JSON; charset=utf-8"),
    # Parameters
    Case("1.0", SEND, OK, 1, V1),
    Case("trailing slash", SEND, OK, 1, V1, path="/a2a/"),
    Case("0.3", SEND_0_3, OK, 1),
    Case("no message", request("SendMessage"), -32602, 1, V1),
    Case("no message 0.3", request("message/send"), -32602, 1),
    Case("message of another type", request("SendMessage", message=5), -32602, 1, V1),
    Case("0.3 message of another type", request("message/send", message=5), -32602, 1),
    Case("no parts", send(parts=[]), -32602, 1, V1),
    Case("part without content", send({}), -32602, 1, V1),
    Case("unknown state", request("ListTasks", status="DONE"), -32602, 1, V1),
    Case("page size", request("ListTasks", pageSize=1000), -32602, 1, V1),
    Case("page token", request("ListTasks", pageToken="x"), -32602, 1, V1),
    Case("long contextId", send(contextId="c" * 300), OK, 1, V1),
    Case("longer contextId", send(contextId="c" * 3000), -32602, 1, V1),
    Case("null character", send({"text": "a\0b"}), -32602, 1, V1),
    Case("lone surrogate", SEND.replace(b"hello", b"\\ud83d"), -32602, 1, V1),
    Case(
        "webhook inside",
        request("SendMessage", message=message(), configuration=WEBHOOK),
        -32602,
        1,
        V1,
    ),
    Case("webhook", request("CreateTaskPushNotificationConfig", taskId="t", **PUSH), -32001, 1, V1),
    Case("unknown agent", send(metadata={"agent_id": "nobody"}), -32602, 1, V1),
    Case(
        "unknown tenant", request("SendMessage", message=message(), tenant="nobody"), -32602, 1, V1
    ),
    Case("message array", request("SendMessage", message=[]), -32602, 1, V1),
    Case("message null", request("SendMessage", message=None), -32602, 1, V1),
    Case("parts object", send(parts={}), -32602, 1, V1),
    Case("part number", send(parts=[1]), -32602, 1, V1),
    Case("text number", send({"text": 1}), -32602, 1, V1),
    Case("raw no base64", send({"raw": "%%%"}), -32602, 1, V1),
    Case("two contents", send({"text": "a", "url": "b"}), -32602, 1, V1),
    Case("role unknown", send(role="ROLE_KING"), -32602, 1, V1),
    Case(
        "role missing",
        request("SendMessage", message={"messageId": "m", "parts": [{"text": "a"}]}),
        -32602,
        1,
        V1,
    ),
    Case("messageId number", send(messageId=7), -32602, 1, V1),
    Case("messageId huge", send(messageId="m" * 3000), -32602, 1, V1),
    Case("metadata array", send(metadata=[]), -32602, 1, V1),
    Case("history negative", request("GetTask", id="x", historyLength=-1), -32602, 1, V1),
    Case("history huge", request("GetTask", id="x", historyLength=2**40), -32602, 1, V1),
    Case("history text", request("GetTask", id="x", historyLength="many"), -32602, 1, V1),
    Case("id object in params", request("GetTask", id={}), -32602, 1, V1),
    Case("id missing in params", request("GetTask"), -32602, 1, V1),
    Case("time", request("ListTasks", statusTimestampAfter="yesterday"), -32602, 1, V1),
    Case(
        "last event", request("SubscribeToTask", id="none"), -32001, 1, {**V1, "last-event-id": "x"}
    ),
    Case("params of another method", request("GetTask", message=message()), -32602, 1, V1),
    # Tasks
    Case("unknown task", request("GetTask", id="none"), -32001, 1, V1),
    Case("unknown task 0.3", request("tasks/get", id="none"), -32001, 1),
    Case("task.query unknown", request("task.query", task_id="none"), -32001, 1),
    Case("cancel unknown", request("CancelTask", id="none"), -32001, 1, V1),
    Case("subscribe unknown", request("SubscribeToTask", id="none"), -32001, 1, V1),
    Case("message to an unknown task", send(taskId="none"), -32001, 1, V1),
    Case("extended card", request("GetExtendedAgentCard"), OK, 1, V1),
    Case("extended card 0.3", request("agent/getAuthenticatedExtendedCard"), OK, 1),
]


def verdict(case: Case, response: httpx2.Response) -> str:
    """What is wrong with the answer; empty when nothing is."""
    if response.status_code != case.status:
        return f"status {response.status_code}: {response.text[:200]}"
    if case.code == NOTHING:
        return "a body" if response.content else ""
    answer = response.json()
    if case.code == MANY:
        numbers = [at(each, "error", "code") for each in answer]
        return "" if numbers == case.to else str(numbers)
    code = OK if "result" in answer else at(answer, "error", "code")
    found = (answer.get("jsonrpc"), code, answer.get("id", "none"))
    leaks = [word for word in LEAKS if word in response.text]
    if found != ("2.0", case.code, case.to) or leaks:
        return f"{found} instead of {case.code} to {case.to!r}; {response.text[:300]} {leaks}"
    return ""


async def test_the_corpus(database: Database) -> None:
    config = A2AConfig.model_validate({"max_body_bytes": 200_000, "max_depth": 64})
    wrong: dict[str, str] = {}
    async with (
        a2a(database, config=config) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, timeout=60) as http,
    ):
        for case in CASES:
            headers = {**case.headers}
            if case.media_type is not None:
                headers["content-type"] = case.media_type
            response = await http.post(case.path, content=case.body, headers=headers)
            if found := verdict(case, response):
                wrong[case.name] = found
    assert wrong == {}


async def test_batches(database: Database) -> None:
    batch = json.dumps([
        json.loads(request("agent.discover", call_id="a")),
        json.loads(notification("agent.discover")),
        json.loads(request("SendMessage", call_id="b", message=message())),
        json.loads(request("SendStreamingMessage", call_id="c", message=message())),
        7,
    ])  # fmt: skip
    config = A2AConfig.model_validate({"max_batch": 5})
    headers = {**V1, "content-type": JSON}
    async with (
        a2a(database, config=config) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http,
    ):
        answers = (await http.post("/a2a", content=batch)).json()
        assert [answer["id"] for answer in answers] == ["a", "b", "c", None]
        assert at(answers, 1, "result", "task", "status", "state") == "TASK_STATE_COMPLETED"
        assert [at(answer, "error", "code") for answer in answers[2:]] == [-32600, -32600]
        silent = b"[" + notification("agent.discover") + b"]"
        assert (await http.post("/a2a", content=silent)).status_code == 204
        large = json.dumps([json.loads(request("agent.discover"))] * 6)
        refused = (await http.post("/a2a", content=large)).json()
        assert (at(refused, "error", "code"), at(refused, "id")) == (-32600, None)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_calls_or_refusals(raw: bytes) -> None:
    for item in parse(raw, A2AConfig.model_validate({})).items:
        if isinstance(item, Refusal):
            assert item.error.rpc_code in {-32700, -32600, -32602}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
METHODS = st.sampled_from([*REQUESTS, *OLD_METHODS, "agent.discover", "task.query", "x"])
NAMES = "id taskId message configuration metadata historyLength pageSize tenant status url"
MEMBERS = st.sampled_from([*NAMES.split(), "pushNotificationConfig"])


@given(METHODS, st.dictionaries(MEMBERS, VALUES, max_size=5), VALUES)
def test_any_parameters_are_read_or_refused(
    method: str, params: JsonObject, call_id: JsonValue
) -> None:
    document = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}
    raw = json.dumps(document).encode("utf-8", "surrogatepass")
    for item in parse(raw, A2AConfig.model_validate({})).items:
        if isinstance(item, Refusal):
            assert item.error.rpc_code in {-32700, -32600, -32602}
            continue
        wires: dict[str, Wire] = {"1.0": CurrentWire(), "0.3": PreviousWire()}
        wire = wires.get(item.family.value)
        if wire is None or wire.method(item.method) is None:
            continue
        try:
            check_params(item)
            found = wire.read(item.method, item.body)
        except InvalidParams:
            continue
        jsonvalue.dumps(found)
