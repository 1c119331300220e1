"""Between the SDK's protobuf messages and our values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
)
from google.protobuf.struct_pb2 import Value  # type: ignore[import-untyped]  # ships no types

from agentcore.a2a_protocol.models.task import Part, TaskState
from agentcore.kit.jsonvalue import JsonObject, JsonValue


def task_to_json(task: pb.Task) -> JsonObject:
    body: JsonObject = MessageToDict(task)
    return body


def task_from_json(body: JsonObject) -> pb.Task:
    task = pb.Task()
    ParseDict(body, task, ignore_unknown_fields=True)
    return task


def read_into(message: pb.AgentCard, body: JsonObject) -> None:
    """Fill ``message`` from its JSON form; a member that it does not have is an error."""
    ParseDict(body, message)


def struct_to_json(message: pb.Message | pb.SendMessageRequest | pb.Task) -> JsonObject:
    """The ``metadata`` member."""
    metadata: JsonObject = MessageToDict(message.metadata)
    return metadata


def state_of(task: pb.Task) -> TaskState:
    return TaskState(pb.TaskState.Name(task.status.state))


def status(state: TaskState, now: datetime, message: pb.Message | None = None) -> pb.TaskStatus:
    made = pb.TaskStatus(state=pb.TaskState.Value(state.value), message=message)
    made.timestamp.FromDatetime(now)
    return made


def parts_from(message: pb.Message) -> tuple[Part, ...]:
    return tuple(_part_from(part) for part in message.parts)


def part_to(content: Part | str | JsonObject) -> pb.Part:
    """A string is a text part and a mapping a data part."""
    if isinstance(content, str):
        return pb.Part(text=storable_text(content), media_type="text/plain")
    if isinstance(content, dict):
        return pb.Part(data=_value(content), media_type="application/json")
    made = pb.Part(media_type=content.media_type, filename=storable_text(content.filename))
    if content.text is not None:
        made.text = storable_text(content.text)
    elif content.raw is not None:
        made.raw = content.raw
    elif content.url is not None:
        made.url = content.url
    else:
        made.data.CopyFrom(_value(content.data))
    return made


def storable_text(text: str) -> str:
    """``text`` without what neither UTF-8 nor PostgreSQL's jsonb can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def storable(value: JsonValue) -> JsonValue:
    """``value`` as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable_text(name): storable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [storable(member) for member in value]
    return value


def texts(parts: Iterable[Part]) -> str:
    return "\n".join(part.text for part in parts if part.text is not None)


def _value(value: JsonValue) -> Value:
    return ParseDict(storable(value), Value())


def _part_from(part: pb.Part) -> Part:
    kind = part.WhichOneof("content")
    return Part(
        text=part.text if kind == "text" else None,
        raw=part.raw if kind == "raw" else None,
        url=part.url if kind == "url" else None,
        data=MessageToDict(part.data) if kind == "data" else None,
        media_type=part.media_type,
        filename=part.filename,
    )
