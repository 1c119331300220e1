"""Tasks as AgentCore sees them; the SDK's protobuf types stay inside the adapter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from agentcore.kit.jsonvalue import JsonObject, JsonValue


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

    # Equal to its text, and so of the same hash; and enum's own is Python, called for each event.
    __hash__ = str.__hash__


# Some process has to be at work on these; the others wait for a client or for nobody.
RUNNING = frozenset({TaskState.SUBMITTED, TaskState.WORKING})
TERMINAL = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED}
)
# A turn ends in these, and the client's next message begins another one.
INTERRUPTED = frozenset({TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED})


def may_follow(before: TaskState, after: TaskState) -> bool:
    """Whether a task may go from one state to the other; an end is an end."""
    return before not in TERMINAL and after is not TaskState.SUBMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of content: exactly one of ``text``, ``raw``, ``url`` and ``data`` is set."""

    text: str | None = None
    raw: bytes | None = None
    url: str | None = None
    data: JsonValue = None
    media_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who may see a task or an agent: one subject of one tenant."""

    tenant: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One committed event of a task, as it stands in its log and goes out to its followers.

    ``seq`` counts the events of the task from 1; ``state`` is the one that it brought; ``body``
    is a ``StreamResponse`` of A2A 1.0 as JSON.
    """

    seq: int
    state: TaskState | None
    body: bytes

    @property
    def ends(self) -> bool:
        """The turn is over, and with it the stream of whoever waits for its end."""
        return self.state in TERMINAL or self.state in INTERRUPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One stored task; ``body`` is the A2A 1.0 ``Task`` without its history and artifacts.

    ``version`` is the number of its last event.
    """

    task_id: str
    owner: Owner
    agent_id: str
    context_id: str
    state: TaskState
    version: int
    body: JsonObject
    created_at: datetime
    updated_at: datetime
    lease_owner: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Newest first; ``after`` is the position (time, id) of the last task already seen."""

    state: TaskState | None = None
    context_id: str | None = None
    agent_id: str | None = None
    updated_since: datetime | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 50
    history: int | None = None
    artifacts: bool = True


class TaskQuery(BaseModel):
    """Which of the caller's tasks; newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: TaskState | None = None
    context_id: str | None = Field(None, max_length=1024)
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096)
