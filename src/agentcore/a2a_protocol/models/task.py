"""Tasks as AgentCore sees them; the SDK's protobuf types stay inside the adapter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentcore.kit.jsonvalue import JsonValue


class TaskState(StrEnum):
    """Names of the A2A 1.0 wire."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    REJECTED = "TASK_STATE_REJECTED"
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"


TERMINAL = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of content: exactly one of ``text``, ``raw``, ``url`` and ``data`` is set."""

    text: str | None = None
    raw: bytes | None = None
    url: str | None = None
    data: JsonValue = None
    media_type: str = ""
    filename: str = ""
