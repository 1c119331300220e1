"""Whether a JSON value is an A2A message that a client may send (A2A 1.0, section 4.1.4; 0.3, 6.4).

Small on purpose: it names the first fault in words that an agent can learn from. Members that
neither version knows are let through, as both ask of receivers; null counts as absent.
"""

from __future__ import annotations

import re

from agentcore.kit.jsonvalue import JsonObject, JsonValue

_CONTENT = ("text", "raw", "url", "data")
_KINDS = {"text": "text", "file": "file", "data": "data"}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def fault_of(message: JsonValue) -> str | None:
    """Why ``message`` is not an A2A message, or None where it is one."""
    if not isinstance(message, dict):
        return "it is not an object"
    return _header_fault(message) or _parts_fault(message.get("parts"), message["role"])


def text_message(message_id: str, text: str) -> JsonObject:
    """A message of A2A 1.0 with one text part."""
    return {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}


def _header_fault(message: JsonObject) -> str | None:
    identifier = message.get("messageId")
    if not isinstance(identifier, str) or not identifier:
        return "messageId is missing"
    role = message.get("role")
    if role not in ("ROLE_USER", "user"):
        return 'role must be "ROLE_USER" (A2A 1.0) or "user" (0.3)'
    if role == "ROLE_USER" and "kind" in message:
        return "it has a kind, which A2A 1.0 messages have not"
    if message.get("kind", "message") != "message":
        return 'kind must be "message"'
    for name in ("extensions", "referenceTaskIds"):
        if not _is_strings(message.get(name)):
            return f"{name} must be a list of strings"
    return _members_fault(message, "contextId", "taskId")


def _members_fault(holder: JsonObject, *names: str) -> str | None:
    """Of the optional members that every part and message has in the same form."""
    for name in names:
        if not isinstance(holder.get(name), str | None):
            return f"{name} must be a string"
    if not isinstance(holder.get("metadata"), dict | None):
        return "metadata must be an object"
    return None


def _is_strings(value: JsonValue) -> bool:
    listed = [] if value is None else value
    return isinstance(listed, list) and all(isinstance(item, str) for item in listed)


def _parts_fault(parts: JsonValue, role: JsonValue) -> str | None:
    if not isinstance(parts, list) or not parts:
        return "parts must be a list of at least one part"
    part_fault = _part_fault_1_0 if role == "ROLE_USER" else _part_fault_0_3
    for index, part in enumerate(parts):
        fault = part_fault(part) if isinstance(part, dict) else "is not an object"
        if fault is not None:
            return f"parts[{index}] {fault}"
    return None


def _part_fault_1_0(part: JsonObject) -> str | None:
    if "kind" in part:
        return "has a kind, which A2A 1.0 parts have not"
    given = [name for name in _CONTENT if name in part]
    if len(given) != 1:
        return f"needs exactly one of {', '.join(_CONTENT)}"
    content = part[given[0]]
    if given != ["data"] and not isinstance(content, str):
        return f"{given[0]} must be a string"
    if given == ["raw"] and not _is_base64(content):
        return "raw must be base64"
    return _members_fault(part, "filename", "mediaType")


def _is_base64(value: JsonValue) -> bool:
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        return False
    return len(value.rstrip("=")) % 4 != 1


def _part_fault_0_3(part: JsonObject) -> str | None:
    kind = part.get("kind")
    member = _KINDS.get(kind) if isinstance(kind, str) else None
    if member is None:
        return 'needs kind "text", "file" or "data"'
    content = part.get(member)
    if not isinstance(content, str if member == "text" else dict):
        return f"of kind {member} needs {member}"
    if member == "file" and isinstance(content, dict) and (fault := _file_fault(content)):
        return fault
    return _members_fault(part)


def _file_fault(file: JsonObject) -> str | None:
    if not isinstance(file.get("bytes", file.get("uri")), str):
        return "needs a file with bytes or uri"
    return _members_fault(file, "mimeType", "name")
