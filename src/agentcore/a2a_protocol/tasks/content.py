"""Messages and parts between their JSON form of A2A 1.0 and what hosted agents see."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable

from agentcore.a2a_protocol.models.task import Part
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of


def parts_of(message: JsonObject) -> tuple[Part, ...]:
    return tuple(_part_of(part) for part in objects_of(message.get("parts")))


def part_json(content: Part | str | JsonObject) -> JsonObject:
    """A string is a text part and a mapping a data part."""
    if isinstance(content, str):
        return {"text": storable_text(content), "mediaType": "text/plain"}
    if isinstance(content, dict):
        return {"data": storable(content), "mediaType": "application/json"}
    made: JsonObject = {}
    if content.text is not None:
        made["text"] = storable_text(content.text)
    elif content.raw is not None:
        made["raw"] = base64.b64encode(content.raw).decode()
    elif content.url is not None:
        made["url"] = storable_text(content.url)
    else:
        made["data"] = storable(content.data)
    if content.media_type:
        made["mediaType"] = storable_text(content.media_type)
    if content.filename:
        made["filename"] = storable_text(content.filename)
    return made


def agent_message(
    message_id: str, task_id: str, context_id: str, parts: Iterable[JsonObject]
) -> JsonObject:
    return {
        "messageId": message_id,
        "contextId": context_id,
        "taskId": task_id,
        "role": "ROLE_AGENT",
        "parts": list(parts),
    }


def storable_text(text: str) -> str:
    """``text`` without what neither UTF-8 nor PostgreSQL can hold."""
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


def _part_of(part: JsonObject) -> Part:
    raw, url = part.get("raw"), part.get("url")
    return Part(
        text=str(part["text"]) if "text" in part else None,
        raw=base64.b64decode(str(raw)) if raw is not None else None,
        url=str(url) if url is not None else None,
        data=part.get("data"),
        media_type=str(part.get("mediaType", "")),
        filename=str(part.get("filename", "")),
    )
