"""What the SDK lets pass and the specification does not; checked before the SDK sees the call."""

from __future__ import annotations

from agentcore.a2a_protocol.envelope import Call, Family
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.kit.jsonvalue import JsonObject, JsonValue

SENDING = frozenset({"SendMessage", "SendStreamingMessage", "message/send", "message/stream"})
CONTENT = ("text", "raw", "url", "data")
# Longer names are no names, and PostgreSQL refuses to index them.
LONGEST_NAME = 1024
NAMES = ("id", "taskId", "contextId", "messageId", "pageToken", "tenant")


def check_params(call: Call) -> None:
    """Raise for parameters that must be refused, whatever the method makes of the rest."""
    params = call.params
    _check_names(params)
    if call.method == "ListTasks":
        _check_state(params.get("status"))
    if call.method in SENDING:
        message = params.get("message")
        if isinstance(message, dict):
            _check_names(message)
            if call.family is Family.V1_0:
                _check_parts(message.get("parts"))


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


def _check_parts(parts: JsonValue) -> None:
    for number, part in enumerate(parts if isinstance(parts, list) else ()):
        if isinstance(part, dict) and sum(name in part for name in CONTENT) != 1:
            raise InvalidParams(f"part {number} needs exactly one of: {', '.join(CONTENT)}")
