"""The JSON-RPC 2.0 envelope: bytes become calls, or refusals with the number the standard asks.

Methods are told apart by the shape of their names, which cannot overlap: ``SendMessage`` is
A2A 1.0, ``message/send`` A2A 0.3, ``agent.register`` AgentCore's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from agentcore.a2a_protocol.errors import InvalidParams, InvalidRequest
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.jsonrpc import RpcId
from agentcore.kit import jsonvalue
from agentcore.kit.errors import AgentCoreError, MalformedRequest, rpc_error
from agentcore.kit.jsonvalue import JsonObject, JsonValue

LONGEST_ID = 1024
LONE = re.compile(r"[\ud800-\udfff]")
# Integers that are read and written as such.
SHORT = range(-(2**63), 2**64)
STREAMING = frozenset(
    {"SendStreamingMessage", "SubscribeToTask", "message/stream", "tasks/resubscribe"}
)
# The methods of the specification, of either version; known without loading the SDK.
SPECIFIED = STREAMING | {
    "SendMessage", "GetTask", "ListTasks", "CancelTask", "GetExtendedAgentCard",
    "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfigs", "DeleteTaskPushNotificationConfig",
    "message/send", "tasks/get", "tasks/cancel", "agent/getAuthenticatedExtendedCard",
    "tasks/pushNotificationConfig/set", "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list", "tasks/pushNotificationConfig/delete",
}  # fmt: skip
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
A2A_DOMAIN = "a2a-protocol.org"


class Family(StrEnum):
    V1_0 = "1.0"
    V0_3 = "0.3"
    AGENTCORE = "agentcore"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; ``body`` is the object it came in."""

    method: str
    family: Family
    params: JsonObject
    id: RpcId
    notification: bool
    body: JsonObject

    @property
    def streaming(self) -> bool:
        return self.method in STREAMING


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What cannot be called, and why; ``silent`` where a notification is all that was wrong."""

    error: AgentCoreError
    id: RpcId = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    items: tuple[Call | Refusal, ...]
    batch: bool = False


def parse(raw: bytes, limits: A2AConfig) -> Parsed:
    try:
        document = jsonvalue.loads(raw)
    except ValueError as exc:
        return Parsed((_unreadable(raw, exc),))
    if _too_deep(raw, document, limits.max_depth):
        deepest = f"the request nests deeper than {limits.max_depth} levels"
        return Parsed((Refusal(error=InvalidRequest(deepest)),))
    if not isinstance(document, list):
        return Parsed((_item(document, raw, in_batch=False),))
    if not document:
        return Parsed((Refusal(error=InvalidRequest("the batch is empty")),))
    if len(document) > limits.max_batch:
        most = f"the batch has {len(document)} calls, at most {limits.max_batch} are taken"
        return Parsed((Refusal(error=InvalidRequest(most)),))
    return Parsed(tuple(_item(item, raw, in_batch=True) for item in document), batch=True)


def family_of(method: str) -> Family:
    if "." in method:
        return Family.AGENTCORE
    if "/" in method:
        return Family.V0_3
    return Family.V1_0 if re.fullmatch(r"[A-Z][A-Za-z]+", method) else Family.NONE


def error_object(error: AgentCoreError) -> JsonObject:
    """The ``error`` member; the protocol's own numbers carry their details as A2A 1.0 asks."""
    rendered = rpc_error(error)
    if not -32009 <= error.rpc_code <= -32001:
        return rendered
    info: JsonObject = {
        "@type": ERROR_INFO,
        "reason": error.code.upper(),
        "domain": A2A_DOMAIN,
        "metadata": {"hint": error.hint} if error.hint else {},
    }
    return {**rendered, "data": [info]}


def error_response(call_id: RpcId, error: AgentCoreError) -> bytes:
    return jsonvalue.dumps({"jsonrpc": "2.0", "id": call_id, "error": error_object(error)})


def result_response(call_id: RpcId, result: JsonValue) -> bytes:
    return jsonvalue.dumps({"jsonrpc": "2.0", "id": call_id, "result": result})


def _item(item: JsonValue, raw: bytes, *, in_batch: bool) -> Call | Refusal:
    if not isinstance(item, dict):
        return Refusal(error=InvalidRequest("a JSON-RPC request is an object"))
    call_id = item.get("id")
    if not _is_id(call_id):
        what = f"the id is a string of at most {LONGEST_ID} characters, an integer or null"
        return Refusal(error=InvalidRequest(what))
    fault = _fault(item, in_batch=in_batch)
    if fault is None and b"\\u0000" in raw and _has_null_character(item):
        fault = InvalidParams("a string contains the character U+0000, which cannot be stored")
    if fault is not None:
        silent = "id" not in item and isinstance(fault, InvalidParams)
        return Refusal(error=fault, id=call_id, silent=silent)
    method, params = str(item["method"]), item.get("params")
    family = family_of(method)
    # The kit of 0.3 takes silence for a failure; its methods need an id, as they will say.
    answered = "id" in item or (family is Family.V0_3 and not in_batch)
    return Call(
        method=method,
        family=family,
        params=params if isinstance(params, dict) else {},
        id=call_id,
        notification=not answered,
        body=item if isinstance(params, dict) else {**item, "params": {}},
    )


def _fault(item: JsonObject, *, in_batch: bool) -> AgentCoreError | None:
    method, params = item.get("method"), item.get("params")
    if item.get("jsonrpc") != "2.0":
        return InvalidRequest("the member jsonrpc must be exactly '2.0'")
    if not isinstance(method, str) or not method:
        return InvalidRequest("the member method must be a name")
    if isinstance(params, list):
        return InvalidParams("params are given by name here, not by position")
    if params is not None and not isinstance(params, dict):
        return InvalidRequest("the member params must be an object")
    if in_batch and method in STREAMING:
        return InvalidRequest(f"{method} streams its answer, which a batch cannot hold")
    return None


def _is_id(value: JsonValue) -> TypeGuard[RpcId]:
    """Whether it can be answered to, also where only the standard library could read it."""
    if isinstance(value, str):
        return len(value) <= LONGEST_ID and not LONE.search(value)
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int) and value in SHORT)


def _unreadable(raw: bytes, fault: ValueError) -> Refusal:
    """Text that is JSON but for half a surrogate pair has an id to answer to."""
    if b"\\ud" in raw.lower():
        try:
            document = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            pass
        else:
            call_id = document.get("id") if isinstance(document, dict) else None
            lone = InvalidParams("a string contains half of a surrogate pair")
            return Refusal(error=lone, id=call_id if _is_id(call_id) else None)
    reason = str(fault).partition(":")[0]
    detail = f"the body is not JSON in UTF-8: {reason}"
    return Refusal(error=MalformedRequest(detail, hint="send one JSON-RPC request, or a batch"))


def _no_constant(name: str) -> JsonValue:
    raise ValueError(name)


def _too_deep(raw: bytes, document: JsonValue, most: int) -> bool:
    if raw.count(b"{") + raw.count(b"[") <= most:
        return False
    level: list[JsonValue] = [document]
    for _ in range(most + 1):
        level = [child for value in level for child in _children(value)]
        if not level:
            return False
    return True


def _children(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, dict):
        yield from (child for child in value.values() if isinstance(child, dict | list))
    elif isinstance(value, list):
        yield from (child for child in value if isinstance(child, dict | list))


def _has_null_character(value: JsonValue) -> bool:
    waiting: list[JsonValue] = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if "\0" in found:
                return True
        elif isinstance(found, dict):
            waiting.extend(found.keys())
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return False
