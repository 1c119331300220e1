"""A task as its events have made it, in the JSON form of A2A 1.0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from agentcore.a2a_protocol.models.task import TaskEvent, TaskState
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, list_of, object_of

# An event in front of which nothing may be missing: it starts the log, or a state begins.
STATUS, ARTIFACT, TASK = "statusUpdate", "artifactUpdate", "task"


@dataclass(slots=True, kw_only=True)
class TaskSnapshot:
    """``head`` is the task without history and artifacts; ``history`` ends with the message of
    the current status, if it has one. ``version`` is the number of the last event in it.
    """

    head: JsonObject
    version: int
    history: list[JsonObject] = field(default_factory=list)
    artifacts: dict[str, JsonObject] = field(default_factory=dict)

    def apply(self, event: JsonObject) -> None:
        """Take in the next event."""
        self.version += 1
        if STATUS in event:
            status = object_of(object_of(event[STATUS])["status"])
            self.head = {**self.head, "status": status}
            if message := object_of(status.get("message")):
                self.history.append(message)
        elif ARTIFACT in event:
            update = object_of(event[ARTIFACT])
            add_artifact(self.artifacts, object_of(update["artifact"]), append=_appends(update))

    def rendered(self, *, history: int | None = None, artifacts: bool = True) -> JsonObject:
        """The ``Task``; ``history`` is the most messages of its past, None for all of them."""
        task = dict(self.head)
        if artifacts and self.artifacts:
            task["artifacts"] = list(self.artifacts.values())
        past = self._past()
        if history is not None:
            past = past[-history:] if history else []
        if past:
            task["history"] = list(past)
        return task

    def _past(self) -> list[JsonObject]:
        current = object_of(object_of(self.head.get("status")).get("message"))
        if current and self.history and self.history[-1].get("messageId") == current["messageId"]:
            return self.history[:-1]
        return self.history


def add_artifact(into: dict[str, JsonObject], artifact: JsonObject, *, append: bool) -> None:
    """``append`` adds parts to the artifact of that id; else it is new, or takes its place."""
    artifact_id = str(artifact.get("artifactId", ""))
    known = into.get(artifact_id)
    if not append or known is None:
        into[artifact_id] = {**artifact, "parts": list(list_of(artifact.get("parts")))}
        return
    list_of(known["parts"]).extend(list_of(artifact.get("parts")))
    if metadata := object_of(artifact.get("metadata")):
        known["metadata"] = {**object_of(known.get("metadata")), **metadata}


def joined(rows: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """Artifacts of their stored rows, oldest first: each row after the first adds parts."""
    artifacts: dict[str, JsonObject] = {}
    for row in rows:
        add_artifact(artifacts, row, append=str(row.get("artifactId", "")) in artifacts)
    return artifacts


def status_event(
    head: JsonObject, state: TaskState, now: datetime, message: JsonObject | None = None
) -> JsonObject:
    status: JsonObject = {"state": state.value, "timestamp": timestamp(now)}
    if message is not None:
        status["message"] = message
    return {
        STATUS: {"taskId": head["id"], "contextId": head.get("contextId", ""), "status": status}
    }


def artifact_event(
    head: JsonObject, artifact: JsonObject, *, append: bool, last: bool
) -> JsonObject:
    update: JsonObject = {
        "taskId": head["id"],
        "contextId": head.get("contextId", ""),
        "artifact": artifact,
    }
    if append:
        update["append"] = True
    if last:
        update["lastChunk"] = True
    return {ARTIFACT: update}


def numbered(seq: int, event: JsonObject) -> TaskEvent:
    return TaskEvent(seq=seq, state=_state(event), body=jsonvalue.dumps(event))


def timestamp(moment: datetime) -> str:
    """As A2A writes it: UTC, milliseconds, Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_text(head: JsonObject) -> str:
    """The text parts of the current status message."""
    message = object_of(object_of(head.get("status")).get("message"))
    texts = [object_of(part).get("text") for part in list_of(message.get("parts"))]
    return "\n".join(text for text in texts if isinstance(text, str))


def _appends(update: JsonObject) -> bool:
    return update.get("append") is True


def _state(event: JsonObject) -> TaskState | None:
    for kind in (STATUS, TASK):
        if kind in event:
            status = object_of(object_of(event[kind])["status"])
            return TaskState(str(status["state"]))
    return None
