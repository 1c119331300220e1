"""Events of a task elsewhere as events of the one here that it works for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agentcore.a2a_protocol.models.handover import NOTHING_SPENT, Spent, told_spent
from agentcore.a2a_protocol.models.task import RUNNING, TERMINAL, TaskState
from agentcore.a2a_protocol.tasks.content import storable
from agentcore.a2a_protocol.tasks.snapshot import (
    ARTIFACT,
    STATUS,
    TASK,
    TaskSnapshot,
    artifact_event,
    status_event,
)
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, list_of, object_of, objects_of

MESSAGE = "message"
# In the metadata of the last message of a task that failed here, and not there: code and agent.
FAULT = "urn:agentcore:fault"


def relayed(
    snapshot: TaskSnapshot, event: JsonObject, state: TaskState, *, now: datetime, ids: Ids
) -> Iterator[JsonObject]:
    """What ``event`` says that the task here, as it is in ``snapshot`` and ``state``, does not.

    Ids of artifacts and messages are kept, so that what comes twice is known again.
    """
    head = snapshot.head
    if MESSAGE in event:
        said = _message(head, object_of(event[MESSAGE]), ids)
        yield status_event(head, TaskState.COMPLETED, now, said)
    elif ARTIFACT in event:
        update = object_of(event[ARTIFACT])
        yield artifact_event(
            head,
            _artifact(object_of(update.get("artifact")), ids),
            append=update.get("append") is True,
            last=update.get("lastChunk") is True,
        )
    elif STATUS in event:
        yield from _status(
            snapshot, object_of(object_of(event[STATUS]).get("status")), state, now, ids
        )
    elif TASK in event:
        task = object_of(event[TASK])
        ended = state_in(task) in TERMINAL
        for artifact in objects_of(task.get("artifacts")):
            yield from _missing(snapshot, _artifact(artifact, ids), last=ended)
        yield from _status(snapshot, object_of(task.get("status")), state, now, ids)


def state_in(carrier: JsonObject) -> TaskState | None:
    """The state of a task or of a status update; None where it has none that we know."""
    said = object_of(carrier.get("status")).get("state")
    return TaskState(said) if isinstance(said, str) and said in set(TaskState) else None


def spent_in(event: JsonObject) -> Spent:
    """What the agent elsewhere tells of the cost of a task, with its end."""
    carrier = object_of(event.get(STATUS)) or object_of(event.get(TASK))
    if state_in(carrier) not in TERMINAL:
        return NOTHING_SPENT
    return told_spent(object_of(carrier.get("metadata")))


def _missing(snapshot: TaskSnapshot, artifact: JsonObject, *, last: bool) -> Iterator[JsonObject]:
    """The parts of an artifact that have not come yet: their number says which these are."""
    known = snapshot.artifacts.get(str(artifact["artifactId"]))
    parts = list_of(artifact.get("parts"))
    if known is None:
        yield artifact_event(snapshot.head, artifact, append=False, last=last)
    elif rest := parts[len(list_of(known["parts"])) :]:
        yield artifact_event(snapshot.head, {**artifact, "parts": rest}, append=True, last=last)


def _status(
    snapshot: TaskSnapshot, status: JsonObject, state: TaskState, now: datetime, ids: Ids
) -> Iterator[JsonObject]:
    after = state_in({"status": status})
    if after is None:
        return
    # It has begun here long ago.
    after = TaskState.WORKING if after is TaskState.SUBMITTED else after
    said = object_of(status.get(MESSAGE))
    known = {str(message.get("messageId")) for message in snapshot.history}
    news = bool(said) and str(said.get("messageId")) not in known
    if after is state and after in RUNNING and not news:
        return
    message = (
        _message(snapshot.head, said, ids) if said and (news or after not in RUNNING) else None
    )
    yield status_event(snapshot.head, after, now, message)


def _message(head: JsonObject, message: JsonObject, ids: Ids) -> JsonObject:
    kept = {name: storable(value) for name, value in message.items()}
    return {
        **kept,
        "messageId": kept.get("messageId") or str(ids.new()),
        "taskId": head["id"],
        "contextId": head.get("contextId", ""),
        "role": "ROLE_AGENT",
    }


def _artifact(artifact: JsonObject, ids: Ids) -> JsonObject:
    kept = {name: storable(value) for name, value in artifact.items()}
    return {**kept, "artifactId": kept.get("artifactId") or str(ids.new())}
