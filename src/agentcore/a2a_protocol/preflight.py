"""What the SDK lets pass and the specification does not; checked before the SDK sees the call."""

from __future__ import annotations

import re

from agentcore.a2a_protocol.envelope import Call, Family
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of

SENDING = frozenset({"SendMessage", "SendStreamingMessage", "message/send", "message/stream"})
CONTENT = ("text", "raw", "url", "data")
# By name or, as JSON of protobuf may have it, by number.
ROLES = ("ROLE_USER", "ROLE_AGENT", 1, 2)
KINDS = ("text", "file", "data")
# Longer names are no names, and PostgreSQL refuses to index them.
LONGEST_NAME = 1024
BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
NAMES = ("id", "taskId", "contextId", "messageId", "pageToken", "tenant")


def check_params(call: Call) -> None:
    """Raise for parameters that must be refused, whatever the method makes of the rest."""
    params = call.params
    _check_names(params)
    if call.method == "ListTasks":
        _check_state(params.get("status"))
    if call.method in SENDING:
        check_sending(params, call.family)


def check_sending(params: JsonObject, family: Family = Family.V1_0) -> None:
    """The same for the parameters of a message that is sent."""
    message = params.get("message")
    if isinstance(message, dict):
        _check_names(message)
        _check_role(message.get("role"), family)
        _check_parts(message.get("parts"), family)


def _check_names(holder: JsonObject) -> None:
    for name in NAMES:
        value = holder.get(name)
        if isinstance(value, str) and len(value) > LONGEST_NAME:
            raise InvalidParams(f"{name} has more than {LONGEST_NAME} characters")


def _check_state(status: JsonValue) -> None:
    # An unknown name is dropped by the SDK, which then lists every task.
    known = {"TASK_STATE_UNSPECIFIED", *TaskState}
    if isinstance(status, str) and status not in known:
        raise InvalidParams(
            f"there is no task state {status[:60]!r}", hint=f"one of: {', '.join(TaskState)}"
        )


def _check_role(role: JsonValue, family: Family) -> None:
    # Enumerations of the model are open: the SDK takes any number for a role.
    if family is Family.V1_0 and role is not None and role not in ROLES:
        raise InvalidParams(f"there is no role {str(role)[:60]!r}", hint="ROLE_USER or ROLE_AGENT")


def _check_parts(parts: JsonValue, family: Family) -> None:
    for number, part in enumerate(objects_of(parts)):
        if family is Family.V1_0:
            if sum(name in part for name in CONTENT) != 1:
                raise InvalidParams(f"part {number} needs exactly one of: {', '.join(CONTENT)}")
            raw = part.get("raw")
        else:
            # The SDK takes a part that does not say what it is for a text.
            if part.get("kind") not in KINDS:
                raise InvalidParams(f"part {number} needs a kind: {', '.join(KINDS)}")
            raw = object_of(part.get("file")).get("bytes")
        # The SDK would pass over the signs that are none of base64, and keep the rest.
        if isinstance(raw, str) and not BASE64.fullmatch(raw):
            raise InvalidParams(f"part {number}: its bytes are not base64")
